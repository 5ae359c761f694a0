import { assert, present, type SeededRandom } from '../base/index.ts'
import { SparseBytes } from './sparse-bytes.ts'

/** Whole sectors survive a power cut or do not. */
const sectorSize = 512

/** A change that reached the cache and is not known durable. */
type FileChange =
  | {
      readonly kind: 'write'
      readonly position: number
      readonly bytes: Uint8Array
      readonly isLost: boolean
    }
  | { readonly kind: 'resize'; readonly size: number }

/** What happens to unsynced changes: the two extremes, or some of them by chance. */
export type Survival = 'nothing' | 'everything' | 'chance'

/** One file: what the medium holds, what the cache shows, and the changes in between, oldest first. */
export class FileNode {
  readonly kind = 'file'
  durable: SparseBytes = new SparseBytes()
  cache: SparseBytes = new SparseBytes()
  #pending: FileChange[] = []
  /** Sequence number of the first pending change. */
  #pendingFirst = 0
  /** Said to be durable, not on the medium, and nothing that was written later is on it: a power cut brings them back. */
  #lostLast: FileChange[] = []

  write(position: number, bytes: Uint8Array): void {
    this.cache.write(position, bytes)
    this.#pending.push({ kind: 'write', position, bytes, isLost: false })
  }

  /** The newest write will never reach the medium, whatever is synced. Returns its bytes. */
  loseNewest(): Uint8Array {
    const newest = present(this.#pending.pop(), 'a write is pending')
    assert(newest.kind === 'write', 'the newest change is a write')
    this.#pending.push({ ...newest, isLost: true })
    return newest.bytes
  }

  /** Bytes that belong elsewhere land on the medium somewhere in this file, behind the cache's back. */
  overwrite(bytes: Uint8Array, random: SeededRandom): void {
    const sectors = Math.ceil(this.durable.size / sectorSize)
    const position = sectorSize * random.between(0, sectors)
    this.durable.write(position, bytes.subarray(0, this.durable.size - position))
  }

  clone(): FileNode {
    const copy = new FileNode()
    copy.durable = this.cache.clone()
    copy.cache = this.cache.clone()
    return copy
  }

  resize(size: number): void {
    this.cache.resize(size)
    this.#pending.push({ kind: 'resize', size })
  }

  /** Where the changes end now; a sync makes durable what lies before the end it began at. */
  get changeEnd(): number {
    return this.#pendingFirst + this.#pending.length
  }

  /** Makes all changes before `end` durable. */
  flush(end: number): void {
    for (const change of this.#take(end)) {
      if (change.kind === 'write' && change.isLost) this.#lostLast.push(change)
      else {
        apply(this.durable, change)
        // Zeros are remains that are cleaned up: they tell nobody that something stood before them.
        if (change.kind === 'write' && change.bytes.some((byte) => byte !== 0)) this.#lostLast = []
      }
    }
  }

  /**
   * A sync that failed: the system marks the pages clean, so later syncs skip them and succeed. Some of the
   * changes before `end` reached the medium, the others never will, and the cache shows them all.
   */
  loseDirty(end: number, random: SeededRandom): void {
    const lost = this.#take(end)
    applySome(this.durable, lost, random, 'chance')
  }

  /** Power cut: the medium gets some of the pending changes, and the cache starts again from the medium. */
  powerCut(random: SeededRandom, survival: Survival): void {
    for (const change of this.#lostLast.splice(0)) apply(this.durable, change)
    applySome(this.durable, this.#take(this.changeEnd), random, survival)
    this.cache = this.durable.clone()
  }

  #take(end: number): FileChange[] {
    const taken = this.#pending.splice(0, Math.max(0, end - this.#pendingFirst))
    this.#pendingFirst += taken.length
    return taken
  }
}

function apply(content: SparseBytes, change: FileChange): void {
  if (change.kind === 'write') content.write(change.position, change.bytes)
  else content.resize(change.size)
}

/**
 * Applies to the medium what a write-back that was cut short may have left of `changes`:
 * - the size is the one after some number of the changes; a truncation happened or not as a whole;
 * - each sector holds, of the writes that touched it, the first n for some n of its own (the cache hands sectors
 *   over whole, so a later write never appears without an earlier one to the same sector).
 */
function applySome(
  content: SparseBytes,
  changes: readonly FileChange[],
  random: SeededRandom,
  survival: Survival,
): void {
  if (survival === 'nothing' || changes.length === 0) return
  if (survival === 'everything') {
    for (const change of changes) apply(content, change)
    return
  }
  const sizeChanges = random.chance(0.5) ? changes.length : random.between(0, changes.length + 1)
  const survivors = sectorSurvivors(changes, random)
  let size = content.size
  for (const [position, change] of changes.entries()) {
    if (change.kind === 'resize') {
      if (position >= sizeChanges) continue
      content.resize(change.size)
      size = change.size
      continue
    }
    if (position < sizeChanges) size = Math.max(size, change.position + change.bytes.length)
    forEachSector(change, (sector, first, end) => {
      const left = survivors.get(sector) ?? 0
      if (left === 0) return
      survivors.set(sector, left - 1)
      content.write(first, change.bytes.subarray(first - change.position, end - change.position))
    })
  }
  content.resize(size)
}

/** How many of the writes to each sector survive. The chance differs from cut to cut, so that all shapes occur. */
function sectorSurvivors(changes: readonly FileChange[], random: SeededRandom): Map<number, number> {
  const survivors = new Map<number, number>()
  for (const change of changes) {
    if (change.kind !== 'write') continue
    forEachSector(change, (sector) => survivors.set(sector, (survivors.get(sector) ?? 0) + 1))
  }
  const chance = random.pick([0, 0.1, 0.5, 0.9, 1])
  // Half of the cuts write back in the order of the sectors up to a point, the others in no order.
  const isOrdered = random.chance(0.5)
  const sectors = [...survivors.keys()].sort((left, right) => left - right)
  let cut = false
  for (const sector of sectors) {
    cut = isOrdered ? cut || !random.chance(chance) : !random.chance(chance)
    const count = present(survivors.get(sector), 'the sector was counted')
    if (cut) survivors.set(sector, random.chance(0.5) ? 0 : random.between(0, count))
  }
  return survivors
}

function forEachSector(
  change: { readonly position: number; readonly bytes: Uint8Array },
  visit: (sector: number, first: number, end: number) => void,
): void {
  const end = change.position + change.bytes.length
  for (let first = change.position; first < end; ) {
    const sector = Math.floor(first / sectorSize)
    const sectorEnd = Math.min(end, (sector + 1) * sectorSize)
    visit(sector, first, sectorEnd)
    first = sectorEnd
  }
}

export type DiskNode = FileNode | DirectoryNode

/** A change of names that the cache shows and the medium may not have. `node` undefined removes the name. */
type NameChange =
  | { readonly kind: 'link'; readonly name: string; readonly node: DiskNode }
  | { readonly kind: 'unlink'; readonly name: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string; readonly node: DiskNode }

/** One directory: the names on the medium, the names the cache shows, and the journal in between. */
export class DirectoryNode {
  readonly kind = 'directory'
  durable: Map<string, DiskNode> = new Map()
  cache: Map<string, DiskNode> = new Map()
  #pending: NameChange[] = []
  #pendingFirst = 0

  link(name: string, node: DiskNode): void {
    this.#change({ kind: 'link', name, node })
  }

  unlink(name: string): void {
    this.#change({ kind: 'unlink', name })
  }

  rename(from: string, to: string): void {
    const node = present(this.cache.get(from), 'what is renamed exists')
    if (from !== to) this.#change({ kind: 'rename', from, to, node })
  }

  get changeEnd(): number {
    return this.#pendingFirst + this.#pending.length
  }

  flush(end: number): void {
    for (const change of this.#take(end)) applyName(this.durable, change)
  }

  /**
   * Power cut: the journal of names was written up to some point, or, on file systems that reorder, any subset
   * of it: a name may vanish, come back, or stand under its old name.
   */
  powerCut(random: SeededRandom, survival: Survival): void {
    const changes = this.#take(this.changeEnd)
    const isOrdered = random.chance(0.5)
    const end = random.between(0, changes.length + 1)
    const survives = (position: number): boolean => {
      if (survival !== 'chance') return survival === 'everything'
      return isOrdered ? position < end : random.chance(0.5)
    }
    for (const [position, change] of changes.entries()) {
      if (survives(position)) applyName(this.durable, change)
    }
    this.cache = new Map(this.durable)
  }

  clone(): DirectoryNode {
    const copy = new DirectoryNode()
    for (const [name, node] of this.cache) {
      const child = node.clone()
      copy.cache.set(name, child)
      copy.durable.set(name, child)
    }
    return copy
  }

  #change(change: NameChange): void {
    applyName(this.cache, change)
    this.#pending.push(change)
  }

  #take(end: number): NameChange[] {
    const taken = this.#pending.splice(0, Math.max(0, end - this.#pendingFirst))
    this.#pendingFirst += taken.length
    return taken
  }
}

function applyName(names: Map<string, DiskNode>, change: NameChange): void {
  if (change.kind === 'link') names.set(change.name, change.node)
  else if (change.kind === 'unlink') names.delete(change.name)
  else {
    // Without the creation on the medium there is no old name to take away; never take away another file's.
    if (names.get(change.from) === change.node) names.delete(change.from)
    names.set(change.to, change.node)
  }
}
