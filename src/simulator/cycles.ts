/** Directed graphs with edges of kinds: their knots (strongly connected components), and smallest cycles in them. */
import { assert, present } from '../base/index.ts'

export interface Edge<Kind extends string> {
  readonly from: number
  readonly to: number
  readonly kind: Kind
  readonly label: string
  /** 0: a step between nodes that stand for nothing by themselves. */
  readonly cost: 0 | 1
}

export class Graph<Kind extends string> {
  /** By node. */
  readonly #edges: Edge<Kind>[][] = []

  /** Nodes are numbered from 0. */
  addNode(): number {
    this.#edges.push([])
    return this.#edges.length - 1
  }

  addEdge(edge: Edge<Kind>): void {
    assert(edge.from < this.#edges.length && edge.to < this.#edges.length, 'edges are between nodes')
    present(this.#edges[edge.from], 'inside').push(edge)
  }

  edgesOf(node: number): readonly Edge<Kind>[] {
    return this.#edges[node] ?? []
  }

  /** Sets of at least two nodes that all reach each other (Tarjan 1972, without recursion). Linear. */
  knots(): number[][] {
    const found: number[][] = []
    const order = new Map<number, number>()
    const lowest: number[] = []
    const stack: number[] = []
    const isOnStack: boolean[] = []
    const enter = (node: number): { node: number; next: number } => {
      lowest[node] = order.size
      order.set(node, order.size)
      stack.push(node)
      isOnStack[node] = true
      return { node, next: 0 }
    }
    const lower = (node: number, to: number): void => {
      lowest[node] = Math.min(present(lowest[node], 'entered'), to)
    }
    const leave = (node: number): void => {
      if (lowest[node] !== order.get(node)) return
      const knot = stack.splice(stack.lastIndexOf(node))
      for (const one of knot) isOnStack[one] = false
      if (knot.length > 1) found.push(knot)
    }
    for (const root of this.#edges.keys()) {
      if (order.has(root)) continue
      const path = [enter(root)]
      for (let at = path.at(-1); at !== undefined; at = path.at(-1)) {
        const edge = this.edgesOf(at.node)[at.next++]
        if (edge === undefined) {
          path.pop()
          const parent = path.at(-1)
          if (parent !== undefined) lower(parent.node, present(lowest[at.node], 'entered'))
          leave(at.node)
        } else if (!order.has(edge.to)) path.push(enter(edge.to))
        else if (isOnStack[edge.to]) lower(at.node, present(order.get(edge.to), 'entered'))
      }
    }
    return found
  }

  /** A cycle inside the knot of the least cost that begins with an edge of kind `first` and goes on by `others`. */
  smallestCycle(knot: readonly number[], first: Kind, others: ReadonlySet<Kind>): Edge<Kind>[] | undefined {
    const inside = new Set(knot)
    let smallest: Edge<Kind>[] | undefined
    let cost = Number.POSITIVE_INFINITY
    for (const node of knot) {
      for (const edge of this.edgesOf(node)) {
        if (edge.kind !== first || !inside.has(edge.to)) continue
        const back = this.#shortestPath(edge.to, edge.from, inside, others, cost - 1)
        if (back === undefined) continue
        smallest = [edge, ...back.edges]
        cost = back.cost + 1
        if (cost === 2) return smallest
      }
    }
    return smallest
  }

  /** Of less cost than `costMax`. */
  #shortestPath(
    from: number,
    to: number,
    inside: ReadonlySet<number>,
    kinds: ReadonlySet<Kind>,
    costMax: number,
  ): { edges: Edge<Kind>[]; cost: number } | undefined {
    const reached = new Map<number, Edge<Kind> | undefined>()
    let level: { node: number; by: Edge<Kind> | undefined }[] = [{ node: from, by: undefined }]
    for (let cost = 0; level.length > 0 && cost < costMax; cost++) {
      const next: typeof level = []
      // Steps without cost stay in the level, which grows while it is gone through.
      for (const { node, by } of level) {
        if (reached.has(node)) continue
        reached.set(node, by)
        if (node === to) return { edges: pathTo(to, from, reached), cost }
        for (const edge of this.edgesOf(node)) {
          if (!kinds.has(edge.kind) || !inside.has(edge.to) || reached.has(edge.to)) continue
          const place = { node: edge.to, by: edge }
          if (edge.cost === 0) level.push(place)
          else next.push(place)
        }
      }
      level = next
    }
    return undefined
  }
}

function pathTo<Kind extends string>(
  to: number,
  from: number,
  reached: ReadonlyMap<number, Edge<Kind> | undefined>,
): Edge<Kind>[] {
  const edges: Edge<Kind>[] = []
  for (let node = to; node !== from; ) {
    const edge = present(reached.get(node), 'every reached node but the first has an edge')
    edges.push(edge)
    node = edge.from
  }
  return edges.reverse()
}
