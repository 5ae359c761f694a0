import { QuorateError } from '../base/index.ts'

/**
 * The layout of a store's file: lmdb 3.5.6, MDB_page, MDB_meta, MDB_db, MDB_node and MDB_ovpage of its mdb.c on machines
 * of 64 bits, all little-endian. Tests hold it against files that the library wrote.
 *
 *   page = u64 number | u64 transaction | u16 zero | u16 kind | u16 places end | u16 nodes begin | u16 place* | nodes
 *   root = page header | u32 magic | u32 version | u64 zero | u64 map size | free pages | main tree | u64 last page |
 *          u64 transaction | u64 boot
 *   tree = u32 page size (in free pages) | u16 flags | u16 depth | u64 branches | u64 leaves | u64 overflow pages |
 *          u64 entries | u64 number of its first page
 *   node = u32 data size | u16 flags | u16 key size | key | data
 *   node of a branch = u48 number of a page | u16 key size | key
 *   large data = u64 number of its first page | u64 transaction | u64 pages
 *   large page = u64 number | u64 transaction | u16 zero | u16 kind | u32 pages | data
 *   free list = u64 count | i64 entry*; an entry is 0, a page, or -n before the first of n pages
 *
 * Places count from the end of the page header. Pages 0 and 1 begin with the roots of even and odd transactions; the root
 * of the last synced one stands in the second half of page 0, without what comes before the map size.
 */
export const headerBytes = 24
export const nodeHeaderBytes = 8
export const largeDataBytes = 24
export const treeBytes = 48
export const depthMax = 32
export const pageKinds = { branch: 1, leaf: 2, large: 4, root: 8 } as const
export const nodeKinds = { large: 1, tree: 2 } as const

const noPage = 2n ** 64n - 1n
/** Integer keys, which are those of the free pages, and a flag of the library's own. */
const rootFlags = 0x0808
/** In a root that was not synced when it was written. */
const provisionalFlag = 0x1000
/** More address space has no process on the platforms there are. */
const mapBytesMax = 2 ** 46

export interface Tree {
  readonly flags: number
  readonly depth: number
  readonly branches: number
  readonly leaves: number
  readonly overflows: number
  readonly entries: number
  /** Undefined: the tree is empty. */
  readonly firstPage: number | undefined
}

export interface Root {
  readonly pageSize: number
  readonly transaction: number
  readonly isProvisional: boolean
  readonly lastPage: number
  readonly freePages: Tree
  readonly main: Tree
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

export function damage(path: string, page: number, what: string): QuorateError {
  return new QuorateError('data-damaged', `${path}, page ${page}: ${what}`)
}

export function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
}

export function readTree(view: DataView, at: number): Tree {
  const firstPage = view.getBigUint64(at + 40, true)
  return {
    flags: view.getUint16(at + 4, true),
    depth: view.getUint16(at + 6, true),
    branches: readU64(view, at + 8),
    leaves: readU64(view, at + 16),
    overflows: readU64(view, at + 24),
    entries: readU64(view, at + 32),
    firstPage: firstPage === noPage ? undefined : Number(firstPage),
  }
}

/**
 * The root that lmdb starts from with `safeRestore`, out of the first two pages (mdb_env_pick_meta, mdb_env_open).
 * Errors: `data-damaged` when any of the three roots is none.
 */
export function readStartRoot(path: string, head: Uint8Array, pageSize: number): Root {
  const view = viewOf(head)
  for (const page of [0, 1]) {
    if (view.getUint16(page * pageSize + 18, true) !== pageKinds.root)
      throw damage(path, page, 'it is no root')
  }
  const read = (at: number): Root => {
    const problem = problemOfRoot(view, at, pageSize)
    if (problem !== undefined)
      throw damage(path, Math.floor(at / pageSize), `the root at ${at} has ${problem}`)
    return readRoot(view, at)
  }
  const [even, synced, odd] = [read(0), read(pageSize / 2), read(pageSize)]
  const safe = saferOf(saferOf(even, odd), synced)
  const newest = even.transaction >= odd.transaction ? even : odd
  // A root of another transaction is overwritten with the safe one. The same one is read where its number says it is.
  if (newest.transaction !== safe.transaction) return safe
  return { ...(safe.transaction % 2 === 0 ? even : odd), transaction: safe.transaction }
}

function problemOfRoot(view: DataView, at: number, pageSize: number): string | undefined {
  const { transaction, lastPage } = readRoot(view, at)
  const mapBytes = readU64(view, at + 40)
  if (view.getUint32(at + 48, true) !== pageSize) return 'another page size'
  if ((view.getUint16(at + 52, true) & ~provisionalFlag) !== rootFlags) return 'unknown flags'
  if (view.getUint16(at + 100, true) !== 0) return 'a main tree with unknown flags'
  if (mapBytes > mapBytesMax || (lastPage + 1) * pageSize > mapBytes) return 'a size that cannot be'
  if (!Number.isSafeInteger(transaction)) return 'a transaction that cannot be'
  return undefined
}

function readRoot(view: DataView, at: number): Root {
  return {
    pageSize: view.getUint32(at + 48, true),
    transaction: readU64(view, at + 152),
    isProvisional: (view.getUint16(at + 52, true) & provisionalFlag) !== 0,
    lastPage: readU64(view, at + 144),
    freePages: readTree(view, at + 48),
    main: readTree(view, at + 96),
  }
}

/** mdb_pick_meta. */
function saferOf(left: Root, right: Root): Root {
  const newer = left.transaction >= right.transaction ? left : right
  if (right.transaction === 0) return left
  if (!newer.isProvisional) return newer
  return left.transaction > right.transaction ? right : left
}
