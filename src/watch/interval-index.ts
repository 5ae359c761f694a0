/** Half-open [first, end) of keys as strings, one character a byte; `end` undefined is open. */
export interface TextInterval {
  readonly first: string
  readonly end: string | undefined
}

interface Node<T> extends TextInterval {
  readonly values: Set<T>
  readonly priority: number
  /** The largest end in this subtree; undefined: open. */
  endMax: string | undefined
  left: Node<T> | undefined
  right: Node<T> | undefined
}

/**
 * Values by interval; finds all whose interval holds a key in O(log n + found). A treap ordered by (first, end), each
 * node with the largest end below it; equal intervals share a node. Priorities come from a fixed sequence, so that
 * the same calls build the same tree.
 */
export class IntervalIndex<T> {
  #root: Node<T> | undefined
  #sequence = 0x2545_f491
  #size = 0

  /** Different intervals. */
  get size(): number {
    return this.#size
  }

  add(interval: TextInterval, value: T): void {
    for (let node = this.#root; node !== undefined; ) {
      const order = compareIntervals(interval, node)
      if (order === 0) {
        node.values.add(value)
        return
      }
      node = order < 0 ? node.left : node.right
    }
    const { first, end } = interval
    const [left, right] = split(this.#root, interval)
    const priority = this.#nextPriority()
    const node: Node<T> = {
      first,
      end,
      values: new Set([value]),
      priority,
      endMax: end,
      left: undefined,
      right: undefined,
    }
    this.#root = merge(merge(left, node), right)
    this.#size++
  }

  remove(interval: TextInterval, value: T): void {
    this.#root = this.#removed(this.#root, interval, value)
  }

  /** Calls `visit` with every value whose interval holds `key`, in the order of the intervals. */
  visit(key: string, visit: (value: T) => void): void {
    visitNode(this.#root, key, visit)
  }

  #removed(node: Node<T> | undefined, interval: TextInterval, value: T): Node<T> | undefined {
    if (node === undefined) return undefined
    const order = compareIntervals(interval, node)
    if (order < 0) node.left = this.#removed(node.left, interval, value)
    else if (order > 0) node.right = this.#removed(node.right, interval, value)
    else {
      node.values.delete(value)
      if (node.values.size === 0) {
        this.#size--
        return merge(node.left, node.right)
      }
    }
    refresh(node)
    return node
  }

  #nextPriority(): number {
    let next = this.#sequence
    next ^= next << 13
    next ^= next >>> 17
    next ^= next << 5
    this.#sequence = next
    return next
  }
}

function visitNode<T>(node: Node<T> | undefined, key: string, visit: (value: T) => void): void {
  if (node === undefined || (node.endMax !== undefined && node.endMax <= key)) return
  visitNode(node.left, key, visit)
  if (node.first > key) return
  if (node.end === undefined || key < node.end) for (const value of node.values) visit(value)
  visitNode(node.right, key, visit)
}

/** Splits into what sorts before the interval and what sorts behind it; it is in neither. */
function split<T>(
  node: Node<T> | undefined,
  interval: TextInterval,
): [Node<T> | undefined, Node<T> | undefined] {
  if (node === undefined) return [undefined, undefined]
  if (compareIntervals(node, interval) < 0) {
    const [left, right] = split(node.right, interval)
    node.right = left
    refresh(node)
    return [node, right]
  }
  const [left, right] = split(node.left, interval)
  node.left = right
  refresh(node)
  return [left, node]
}

/** Joins two trees, the first entirely before the second. */
function merge<T>(left: Node<T> | undefined, right: Node<T> | undefined): Node<T> | undefined {
  if (left === undefined) return right
  if (right === undefined) return left
  if (left.priority > right.priority) {
    left.right = merge(left.right, right)
    refresh(left)
    return left
  }
  right.left = merge(left, right.left)
  refresh(right)
  return right
}

function refresh<T>(node: Node<T>): void {
  node.endMax = laterEnd(node.end, laterEnd(endMaxOf(node.left), endMaxOf(node.right)))
}

/** A missing subtree ends before everything: the empty string is the lowest end. */
function endMaxOf<T>(node: Node<T> | undefined): string | undefined {
  return node === undefined ? '' : node.endMax
}

function laterEnd(left: string | undefined, right: string | undefined): string | undefined {
  if (left === undefined || right === undefined) return undefined
  return left > right ? left : right
}

function compareIntervals(left: TextInterval, right: TextInterval): number {
  if (left.first !== right.first) return left.first < right.first ? -1 : 1
  if (left.end === right.end) return 0
  if (left.end === undefined) return 1
  if (right.end === undefined) return -1
  return left.end < right.end ? -1 : 1
}
