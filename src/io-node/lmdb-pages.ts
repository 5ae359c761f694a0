import { fstatSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { assert } from '../base/index.ts'
import {
  damage,
  depthMax,
  headerBytes,
  largeDataBytes,
  nodeHeaderBytes,
  nodeKinds,
  pageKinds,
  type Root,
  readTree,
  readU64,
  type Tree,
  treeBytes,
  viewOf,
} from './lmdb-layout.ts'

/**
 * Reads the trees of a store's file before lmdb maps it. lmdb believes every page number, size and place in it: one that
 * points elsewhere ends the process with a signal, at this start and at every other. What the keys and values should be
 * is not asked here.
 *
 * 1. A page is part of one tree, once, lies inside the file and is not newer than the root; a free page is part of none.
 * 2. What a page says of itself fits into it, and its keys lie between those of the pages around it.
 * 3. A tree has as many pages and entries as its record says.
 */

const pagesPerTurn = 256

/**
 * Reads every page that can be reached from `root`, some at a turn. Errors: `data-damaged`; what the system says when the
 * file cannot be read.
 */
export async function checkPages(path: string, root: Root): Promise<void> {
  const file = await open(path, 'r')
  try {
    const work = new PageChecker(path, file.fd, root).check()
    while (work.next().done !== true) await setImmediate()
  } finally {
    await file.close()
  }
}

type Counts = { branches: number; leaves: number; overflows: number; entries: number }

/** A tree that is being read: how it orders its keys, what its data are, and what was found so far. */
interface Reading {
  readonly tree: Tree
  readonly holds: 'trees' | 'free lists' | 'values'
  readonly compare: (left: Uint8Array, right: Uint8Array) => number
  readonly counts: Counts
  readonly visits: Visit[]
}

/** A page still to be read; its keys are at or behind `first` and before `end`. */
interface Visit {
  readonly page: number
  readonly level: number
  readonly first: Uint8Array | undefined
  readonly end: Uint8Array | undefined
}

/** A node in the page at hand: bytes [at, end). */
interface PageNode {
  readonly at: number
  readonly keyEnd: number
  readonly end: number
}

class PageChecker {
  readonly #path: string
  readonly #file: number
  readonly #root: Root
  readonly #filePages: number
  /** The page at hand. */
  readonly #bytes: Buffer
  readonly #view: DataView
  readonly #largeHeader = Buffer.alloc(headerBytes)
  /** A bit for each page that is part of a tree. */
  readonly #isUsed: Uint8Array
  readonly #freeLists: { page: number; bytes: Uint8Array }[] = []

  constructor(path: string, file: number, root: Root) {
    this.#path = path
    this.#file = file
    this.#root = root
    this.#filePages = Math.floor(fstatSync(file).size / root.pageSize)
    this.#bytes = Buffer.alloc(root.pageSize)
    this.#view = viewOf(this.#bytes)
    this.#isUsed = new Uint8Array(Math.ceil(this.#filePages / 8))
  }

  *check(): Generator<void, void, void> {
    const { main, freePages, lastPage } = this.#root
    const named: Tree[] = []
    yield* this.#checkTree(main, 'trees', named)
    for (const tree of named) yield* this.#checkTree(tree, 'values', named)
    yield* this.#checkTree(freePages, 'free lists', named)
    let lastFree = 0
    for (const { page, bytes } of this.#freeLists)
      lastFree = Math.max(lastFree, this.#checkFreeList(page, bytes))
    this.#demand(
      lastPage < Math.max(this.#filePages, lastFree + 1),
      0,
      'its last page is behind all there are',
    )
  }

  *#checkTree(tree: Tree, holds: Reading['holds'], named: Tree[]): Generator<void, void, void> {
    const { firstPage, depth } = tree
    const place = firstPage ?? 0
    this.#demand(
      depth <= depthMax && depth > 0 === (firstPage !== undefined),
      place,
      'its tree has no such depth',
    )
    const reading: Reading = {
      tree,
      holds,
      compare: holds === 'free lists' ? compareU64 : Buffer.compare,
      counts: { branches: 0, leaves: 0, overflows: 0, entries: 0 },
      visits:
        firstPage === undefined ? [] : [{ page: firstPage, level: 1, first: undefined, end: undefined }],
    }
    let read = 0
    for (let visit = reading.visits.pop(); visit !== undefined; visit = reading.visits.pop()) {
      this.#use(visit.page, 1, visit.page)
      this.#read(this.#bytes, visit.page * this.#root.pageSize)
      if (visit.level === depth) this.#checkLeaf(reading, visit, named)
      else this.#checkBranch(reading, visit)
      if (++read % pagesPerTurn === 0) yield
    }
    for (const what of ['branches', 'leaves', 'overflows', 'entries'] as const) {
      this.#demand(
        reading.counts[what] === tree[what],
        place,
        `its tree has not as many ${what} as it should`,
      )
    }
  }

  #checkLeaf(reading: Reading, visit: Visit, named: Tree[]): void {
    const { page } = visit
    this.#checkHeader(this.#view, page, pageKinds.leaf)
    const nodes = this.#countNodes(page, 1)
    let before = visit.first
    let size = 0
    for (let i = 0; i < nodes; i++) {
      const node = this.#leafNode(page, i)
      const key = this.#bytes.subarray(node.at + nodeHeaderBytes, node.keyEnd)
      if (before !== undefined) {
        const order = reading.compare(key, before)
        this.#demand(order > 0 || (order === 0 && i === 0), page, 'its keys are not in order')
      }
      this.#checkData(reading, page, node, named)
      before = key
      size += evenBytes(node.end - node.at)
    }
    this.#checkEnd(reading, visit, size, before)
    reading.counts.leaves++
    reading.counts.entries += nodes
  }

  #checkBranch(reading: Reading, visit: Visit): void {
    const { page, level } = visit
    this.#checkHeader(this.#view, page, pageKinds.branch)
    // While the library writes its free pages, a branch of theirs may have one child.
    const nodes = this.#countNodes(page, reading.holds === 'free lists' ? 1 : 2)
    let first = visit.first
    let size = 0
    let child = 0
    for (let i = 0; i < nodes; i++) {
      const { at, keyEnd } = this.#branchNode(page, i)
      if (i > 0) {
        // The next page is read into the same bytes. The first key stands for all that are smaller and is never read.
        const key = Uint8Array.prototype.slice.call(this.#bytes, at + nodeHeaderBytes, keyEnd)
        reading.visits.push({ page: child, level: level + 1, first, end: key })
        first = key
      }
      child = this.#view.getUint32(at, true) + this.#view.getUint16(at + 4, true) * 2 ** 32
      size += evenBytes(keyEnd - at)
    }
    reading.visits.push({ page: child, level: level + 1, first, end: visit.end })
    this.#checkEnd(reading, visit, size, first)
    reading.counts.branches++
  }

  #checkHeader(view: DataView, page: number, kind: number): void {
    const isItself = readU64(view, 0) === page && view.getUint16(18, true) === kind
    this.#demand(isItself, page, 'it is another page')
    // What is newer than the root is taken for a copy that may be written to.
    this.#demand(readU64(view, 8) <= this.#root.transaction, page, 'it is newer than its root')
  }

  #countNodes(page: number, atLeast: number): number {
    const placesEnd = this.#view.getUint16(20, true)
    const nodesBegin = this.#view.getUint16(22, true)
    const fit =
      placesEnd % 2 === 0 && placesEnd <= nodesBegin && nodesBegin <= this.#root.pageSize - headerBytes
    this.#demand(fit && placesEnd >= 2 * atLeast, page, 'its nodes have no such places')
    return placesEnd / 2
  }

  #branchNode(page: number, i: number): { at: number; keyEnd: number } {
    const { pageSize } = this.#root
    const at = headerBytes + this.#view.getUint16(headerBytes + 2 * i, true)
    const isInside = at >= headerBytes + this.#view.getUint16(22, true) && at + nodeHeaderBytes <= pageSize
    this.#demand(isInside && at % 2 === 0, page, 'a node is outside of it')
    const keyEnd = at + nodeHeaderBytes + this.#view.getUint16(at + 6, true)
    this.#demand(keyEnd <= pageSize, page, 'a key is outside of it')
    return { at, keyEnd }
  }

  #leafNode(page: number, i: number): PageNode {
    const { at, keyEnd } = this.#branchNode(page, i)
    this.#demand(keyEnd > at + nodeHeaderBytes, page, 'a key is empty')
    const isLarge = this.#view.getUint16(at + 4, true) === nodeKinds.large
    const end = keyEnd + (isLarge ? largeDataBytes : this.#view.getUint32(at, true))
    this.#demand(end <= this.#root.pageSize, page, 'data are outside of it')
    return { at, keyEnd, end }
  }

  #checkData(reading: Reading, page: number, node: PageNode, named: Tree[]): void {
    const { at, keyEnd, end } = node
    const kind = this.#view.getUint16(at + 4, true)
    if (reading.holds === 'trees') {
      this.#demand(kind === nodeKinds.tree && end - keyEnd === treeBytes, page, 'a tree has no record')
      const tree = readTree(this.#view, keyEnd)
      this.#demand(tree.flags === 0, page, 'a tree has unknown flags')
      named.push(tree)
      return
    }
    this.#demand(kind === 0 || kind === nodeKinds.large, page, 'a node is of an unknown kind')
    const dataAt = kind === 0 ? page * this.#root.pageSize + keyEnd : this.#largeData(reading, page, node)
    if (reading.holds !== 'free lists') return
    const bytes = new Uint8Array(this.#view.getUint32(at, true))
    this.#read(bytes, dataAt)
    this.#freeLists.push({ page, bytes })
  }

  /** Where in the file the data begin. */
  #largeData(reading: Reading, page: number, { at, keyEnd }: PageNode): number {
    const { pageSize } = this.#root
    const first = readU64(this.#view, keyEnd)
    const pages = readU64(this.#view, keyEnd + 16)
    const dataBytes = this.#view.getUint32(at, true)
    this.#demand(headerBytes + dataBytes <= pages * pageSize, page, 'large data have too few pages')
    this.#use(first, pages, page)
    this.#read(this.#largeHeader, first * pageSize)
    const header = viewOf(this.#largeHeader)
    this.#checkHeader(header, first, pageKinds.large)
    this.#demand(header.getUint32(20, true) === pages, first, 'it has another number of pages')
    reading.counts.overflows += pages
    return first * pageSize + headerBytes
  }

  /** The nodes of a page leave no gap, and its last key lies before that of the next page. */
  #checkEnd(reading: Reading, { page, end }: Visit, size: number, last: Uint8Array | undefined): void {
    const nodesBegin = headerBytes + this.#view.getUint16(22, true)
    this.#demand(nodesBegin + size === this.#root.pageSize, page, 'its nodes do not fill their place')
    const isBefore = end === undefined || last === undefined || reading.compare(last, end) < 0
    this.#demand(isBefore, page, 'its keys are not in order')
  }

  /** The last page of the list. */
  #checkFreeList(page: number, bytes: Uint8Array): number {
    const view = viewOf(bytes)
    const entries = bytes.length < 8 ? Number.NaN : readU64(view, 0)
    this.#demand(8 * (entries + 1) <= bytes.length, page, 'a free list is cut')
    let last = 0
    for (let i = 1; i <= entries; i++) {
      let first = Number(view.getBigInt64(8 * i, true))
      if (first === 0) continue
      const pages = first < 0 ? -first : 1
      if (first < 0) {
        this.#demand(++i <= entries, page, 'a free list is cut')
        first = Number(view.getBigInt64(8 * i, true))
      }
      this.#demand(first > 1 && first + pages - 1 <= this.#root.lastPage, page, 'what is free is no page')
      for (let free = first; free < first + pages; free++) {
        this.#demand(!this.#isInUse(free), page, 'a free page is part of a tree')
      }
      last = Math.max(last, first + pages - 1)
    }
    return last
  }

  #use(first: number, pages: number, by: number): void {
    const end = first + pages
    const exist = first > 1 && pages > 0 && end <= this.#filePages && end - 1 <= this.#root.lastPage
    this.#demand(exist, by, 'it leads to pages that do not exist')
    for (let page = first; page < end; page++) {
      this.#demand(!this.#isInUse(page), by, 'it leads to a page that is in use')
      this.#isUsed[page >> 3] = (this.#isUsed[page >> 3] ?? 0) | (1 << (page & 7))
    }
  }

  #isInUse(page: number): boolean {
    return ((this.#isUsed[page >> 3] ?? 0) & (1 << (page & 7))) !== 0
  }

  #read(into: Uint8Array, position: number): void {
    const read = readSync(this.#file, into, 0, into.length, position)
    assert(read === into.length, 'what lies inside the file is read whole')
  }

  #demand(condition: boolean, page: number, what: string): asserts condition {
    if (!condition) throw damage(this.#path, page, what)
  }
}

function evenBytes(size: number): number {
  return size + (size % 2)
}

/** NaN, which is in no order, when one has another size. */
function compareU64(left: Uint8Array, right: Uint8Array): number {
  if (left.length !== 8 || right.length !== 8) return Number.NaN
  return readU64(viewOf(left), 0) - readU64(viewOf(right), 0)
}
