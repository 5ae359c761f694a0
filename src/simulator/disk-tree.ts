import { assert, present, QuorateError, type SeededRandom } from '../base/index.ts'
import { DirectoryNode, type DiskNode, FileNode, type Survival } from './disk-nodes.ts'

/** The names of a simulated disk: what is called what, in the cache and on the medium. */
export class DiskTree {
  readonly #root: DirectoryNode

  constructor(root: DirectoryNode = new DirectoryNode()) {
    this.#root = root
  }

  /** All that programs see now, and all of it durable. */
  clone(): DiskTree {
    return new DiskTree(this.#root.clone())
  }

  /** A new empty file under a name that is free. */
  createFile(path: string): FileNode {
    if (this.find(path, 'cache') !== undefined) throw new QuorateError('file-exists', `${path} exists`)
    const { directory, name } = this.#parent(path)
    const file = new FileNode()
    directory.link(name, file)
    return file
  }

  file(path: string): FileNode {
    const node = this.find(path, 'cache')
    if (node?.kind !== 'file') throw new QuorateError('file-not-found', `no file ${path}`)
    return node
  }

  makeDirectory(path: string): void {
    let directory = this.#root
    for (const name of partsOf(path)) {
      let next = directory.cache.get(name)
      if (next?.kind === 'file') throw new QuorateError('file-exists', `${name} in ${path} is a file`)
      if (next === undefined) {
        next = new DirectoryNode()
        directory.link(name, next)
        directory.flush(directory.changeEnd)
      }
      directory = next
    }
  }

  rename(from: string, to: string): void {
    const source = this.#parent(from)
    const target = this.#parent(to)
    assert(source.directory === target.directory, `${from} and ${to} are in one directory`)
    if (!source.directory.cache.has(source.name)) {
      throw new QuorateError('file-not-found', `no file ${from}`)
    }
    source.directory.rename(source.name, target.name)
  }

  remove(path: string): void {
    const node = this.find(path, 'cache')
    if (node === undefined) return
    if (node.kind === 'directory') throw new QuorateError('disk-failed', `${path} is a directory`)
    const { directory, name } = this.#parent(path)
    directory.unlink(name)
  }

  removeTree(path: string): void {
    const node = this.find(path, 'cache')
    if (node === undefined) return
    const empty = (directory: DirectoryNode): void => {
      for (const [name, child] of [...directory.cache]) {
        if (child.kind === 'directory') empty(child)
        directory.unlink(name)
      }
    }
    if (node.kind === 'directory') empty(node)
    const { directory, name } = this.#parent(path)
    directory.unlink(name)
  }

  find(path: string, layer: 'durable' | 'cache'): DiskNode | undefined {
    let node: DiskNode | undefined = this.#root
    for (const name of partsOf(path)) {
      if (node?.kind !== 'directory') return undefined
      node = node[layer].get(name)
    }
    return node
  }

  directory(path: string): DirectoryNode {
    const node = this.find(path, 'cache')
    if (node?.kind !== 'directory') throw new QuorateError('file-not-found', `no directory ${path}`)
    return node
  }

  #parent(path: string): { directory: DirectoryNode; name: string } {
    const parts = partsOf(path)
    const name = present(parts.pop(), 'a path names something')
    return { directory: this.directory(parts.join('/')), name }
  }

  powerCut(random: SeededRandom, survival: Survival): void {
    const seen = new Set<DiskNode>()
    const cut = (node: DiskNode): void => {
      if (seen.has(node)) return
      seen.add(node)
      node.powerCut(random, survival)
      if (node.kind === 'directory') for (const child of node.durable.values()) cut(child)
    }
    cut(this.#root)
  }

  /** Bytes of all files as programs see them. */
  get usedBytes(): number {
    let used = 0
    const visit = (directory: DirectoryNode): void => {
      for (const node of directory.cache.values()) {
        if (node.kind === 'file') used += node.cache.size
        else visit(node)
      }
    }
    visit(this.#root)
    return used
  }

  /** Paths of all files, sorted. */
  paths(layer: 'durable' | 'cached'): string[] {
    const found: string[] = []
    const visit = (directory: DirectoryNode, prefix: string): void => {
      for (const [name, node] of layer === 'durable' ? directory.durable : directory.cache) {
        if (node.kind === 'file') found.push(`${prefix}/${name}`)
        else visit(node, `${prefix}/${name}`)
      }
    }
    visit(this.#root, '')
    return found.sort()
  }
}

function partsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  assert(!parts.includes('..'), `${path} has no ".."`)
  return parts
}
