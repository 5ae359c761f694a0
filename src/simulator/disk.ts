/**
 * A disk in memory that fails like a real one, under a seed.
 *
 * Two layers. *Cache* is what programs read; *medium* is what a power cut leaves. A write, truncation, creation,
 * rename or removal takes effect in the cache when its operation completes. What makes it durable:
 * - `sync`: the writes and truncations of that file that had completed before the sync began;
 * - a write of a file opened with `durableWrites`: that write, and what was pending in the same file;
 * - `preallocate`: the size, and what was pending in the same file;
 * - `syncDirectory`: the names created, renamed and removed in that directory before it began;
 * - `makeDirectory`: the names it made.
 *
 * `crash()` is a power cut. Of what was pending, per file, each 512-byte sector holds one of its versions, the size
 * is one of its sizes; per directory, the journal of names survives up to a point, or any subset of it. Thus a file
 * that was synced may vanish when its directory was not, a rename may be undone, a removed file may come back.
 * Operations under way at that moment took effect or did not. `kill()` is the end of the process only: the cache
 * stays, and is still lost at a later power cut. After either, operations of the old process never resolve: its
 * handles are dead, and so are the disks it got from `mount()`.
 *
 * Faults: `failNext` (an error on the n-th write, sync, ...), `errorChance`, `bytesMax` (disk-full past it), `rot`
 * (flipped bits), `setLatency` (a slow disk), `hang` (operations that do not end), `strayNext` (a lost or misdirected
 * write), `haltAt` (power fails at the k-th operation; for sweeps). After a failed sync or durable write the pages count
 * as clean: some of the data is on the medium, the rest never will be, later syncs succeed, and the cache still shows it
 * all. The program must stop then; writing or syncing that file again is recorded in `misuse`, which a test can demand
 * to be empty.
 *
 * A stray write is acknowledged, durable by every sign, shown by the cache, and not on the medium: a power cut brings it
 * to light. It strikes only once a later write to the same file is durable; a power cut before that finds the write in its
 * place. For what was lost at the very end of what a node has written, the node cannot know (docs/decisions/0040).
 *
 * Also checked, by assertion, because a real disk would answer with nonsense: bytes that change while their write is
 * under way, writes to the same bytes at the same time, use after close.
 *
 * Without a scheduler every operation completes within promise turns: for unit tests. A sweep over all crash points:
 *
 *   for (let k = 1; ; k++) {
 *     const disk = createSimulatedDisk({ random: new SeededRandom(k) })
 *     disk.haltAt(k)
 *     const outcome = await Promise.race([workload(disk).then(() => 'done'), disk.halted])
 *     disk.crash()
 *     await checkRecovery(disk)
 *     if (outcome === 'done') break
 *   }
 */
import { assert, isQuorateError, QuorateError, type SeededRandom } from '../base/index.ts'
import type { Disk, DiskFile, OpenOptions } from '../io/index.ts'
import { type DiskAction, type DiskFileWorld, type DiskProcess, openDiskFile } from './disk-file.ts'
import type { FileNode, Survival } from './disk-nodes.ts'
import { DiskTree } from './disk-tree.ts'
import type { Scheduler } from './scheduler.ts'

export const diskOperations = [
  'open',
  'list',
  'exists',
  'makeDirectory',
  'rename',
  'remove',
  'removeTree',
  'syncDirectory',
  'freeBytes',
  'size',
  'read',
  'write',
  'sync',
  'truncate',
  'preallocate',
  'close',
] as const
export type DiskOperation = (typeof diskOperations)[number]

/** Those that reach the medium. */
export const durableOperations: ReadonlySet<DiskOperation> = new Set([
  'sync',
  'write',
  'syncDirectory',
  'makeDirectory',
  'preallocate',
])

/** Those that may find no space. */
export const growingOperations: readonly DiskOperation[] = [
  'open',
  'makeDirectory',
  'rename',
  'syncDirectory',
  'write',
  'sync',
  'truncate',
  'preallocate',
]

/** Milliseconds an operation takes. `isDurable`: it reaches the medium before it resolves. */
export type DiskLatency = (operation: DiskOperation, bytes: number, isDurable: boolean) => number

export interface SimulatedDiskOptions {
  readonly random: SeededRandom
  /** Without one, operations complete within promise turns. */
  readonly scheduler?: Scheduler
  /** Default: a solid-state disk with jitter. */
  readonly latency?: DiskLatency
  readonly faults?: DiskFaults
}

export interface DiskFaults {
  /** Probability that an operation of this kind fails with `disk-failed`. */
  readonly errorChance?: Partial<Record<DiskOperation, number>>
  /** Bytes of all files together; what would pass it fails with `disk-full`. */
  readonly bytesMax?: number
}

export interface SimulatedDisk extends Disk {
  /**
   * A disk for one process: dead after the next `crash` or `kill`, while the methods of this object itself live on.
   * `deliver` runs what an operation leads to, now or, when the process is paused, later.
   */
  mount(deliver?: (callback: () => void) => void): Disk
  /** Power cut. `survival` of what was not durable: by chance, or for sharp tests nothing or everything. */
  crash(survival?: Survival): void
  /** The process dies; the system and its cache live on. */
  kill(): void

  /**
   * Fails the `nth` (1: the next) operation of this kind, on paths that contain `path` when given. With `disk-full` the
   * program may go on and write there again.
   */
  failNext(failure: DiskFailure): void
  /** Operations of these kinds (default: all) that are under way or begin from now on do not end before `resume`. */
  hang(operations?: ReadonlySet<DiskOperation>): void
  resume(): void
  /** The `nth` write from now on never reaches its place, and when misdirected another one of the same disk. */
  strayNext(kind: StrayKind, nth: number, onStray?: () => void): void
  setFaults(faults: DiskFaults): void
  setLatency(latency: DiskLatency): void
  /** Takes back `failNext`, `setFaults`, `setLatency`, `hang` and a `strayNext` that has not struck; damage done stays. */
  clearFaults(): void
  /** Every file is gone, and a write that was to go astray with them, as on a new disk; no process may use it. */
  wipe(): void
  /** What is on the disk now, while no process uses it, to be put back later. */
  copy(): DiskCopy
  /** The disk holds what it held when `copy` was made, durably; no process may use it. */
  restore(copy: DiskCopy): void
  /** Flips one bit of each byte in [first, end) of the file, on the medium and in the cache. */
  rot(path: string, range: { first: number; end: number }): void

  /** Power fails when the k-th operation (1: the very first of this disk) has begun: nothing resolves from then on. */
  haltAt(operation: number): void
  /** Resolves when `haltAt` has struck. `crash` or `kill` brings the disk back; then this is a new promise. */
  readonly halted: Promise<'halted'>
  /** Operations begun since the disk was made. */
  readonly operationCount: number
  /** Operations of one kind begun since the disk was made. */
  countOf(operation: DiskOperation): number
  /** Writes and syncs of a file after one of them had failed, in words. */
  readonly misuse: readonly string[]
  /** Bytes of all files, as `bytesMax` counts them. */
  readonly usedBytes: number
  /** Files opened by the present process and not closed. */
  readonly openFiles: number

  /** The bytes a power cut leaves at the least; undefined when the name itself is not durable. */
  durableBytes(path: string): Uint8Array | undefined
  /** The bytes programs see; undefined when there is no such file. */
  cachedBytes(path: string): Uint8Array | undefined
  /** Paths of all files, sorted, in one of the layers. */
  paths(layer: 'durable' | 'cached'): string[]
}

export function createSimulatedDisk(options: SimulatedDiskOptions): SimulatedDisk {
  return new MemoryDisk(options)
}

export interface DiskFailure {
  readonly operation: DiskOperation
  readonly nth?: number
  readonly path?: string
  /** Default: `disk-failed`. */
  readonly code?: 'disk-failed' | 'disk-full'
}

export type StrayKind = 'lost' | 'misdirected'

/** What a power cut left of a disk and of what programs see of it, to be put back later. */
export type DiskCopy = DiskTree

interface InFlight {
  /** Takes effect although nobody will learn of it. */
  readonly interrupt: () => void
}

interface Failure {
  readonly failure: DiskFailure
  left: number
}

interface Hang {
  readonly operations: ReadonlySet<DiskOperation> | undefined
  /** Let operations end that have waited. */
  readonly waiting: (() => void)[]
}

class MemoryDisk implements SimulatedDisk {
  readonly #random: SeededRandom
  readonly #scheduler: Scheduler | undefined
  readonly #healthyLatency: DiskLatency
  #latency: DiskLatency
  #faults: DiskFaults
  #failures: Failure[] = []
  #tree = new DiskTree()
  readonly #fileWorld: DiskFileWorld
  readonly #inFlight = new Set<InFlight>()
  #process: DiskProcess = newProcess()
  #hang: Hang | undefined
  #stray: { readonly kind: StrayKind; left: number; readonly onStray: () => void } | undefined
  #haltAt = Number.POSITIVE_INFINITY
  #isHalted = false
  #halted = Promise.withResolvers<'halted'>()
  readonly #counts = new Map<DiskOperation, number>()
  readonly misuse: string[] = []
  operationCount = 0

  constructor(options: SimulatedDiskOptions) {
    this.#random = options.random
    this.#scheduler = options.scheduler
    this.#healthyLatency = options.latency ?? solidStateLatency(options.random.fork())
    this.#latency = this.#healthyLatency
    this.#faults = options.faults ?? {}
    this.#fileWorld = {
      random: this.#random,
      misuse: this.misuse,
      perform: (process, action) => this.#perform(process, action),
      freeBytes: () => this.#freeBytes(),
      written: (file) => this.#written(file),
      note: (value) => this.#scheduler?.note(value),
    }
  }

  // ---- the disk of the present process ----

  open(path: string, options: OpenOptions): Promise<DiskFile> {
    return this.mount().open(path, options)
  }
  list(directory: string): Promise<string[]> {
    return this.mount().list(directory)
  }
  exists(path: string): Promise<boolean> {
    return this.mount().exists(path)
  }
  makeDirectory(path: string): Promise<void> {
    return this.mount().makeDirectory(path)
  }
  rename(from: string, to: string): Promise<void> {
    return this.mount().rename(from, to)
  }
  remove(path: string): Promise<void> {
    return this.mount().remove(path)
  }
  removeTree(path: string): Promise<void> {
    return this.mount().removeTree(path)
  }
  syncDirectory(path: string): Promise<void> {
    return this.mount().syncDirectory(path)
  }
  freeBytes(path: string): Promise<number> {
    return this.mount().freeBytes(path)
  }

  mount(deliver?: (callback: () => void) => void): Disk {
    const process = this.#process
    if (deliver !== undefined) process.deliver = deliver
    const tree = this.#tree
    const run = <T>(action: DiskAction<T>): Promise<T> => this.#perform(process, action)
    return {
      open: (path, options) => {
        const effect = (): DiskFile => {
          const file = options.create ? tree.createFile(path) : tree.file(path)
          return openDiskFile(this.#fileWorld, process, file, { ...options, path })
        }
        return run({ operation: 'open', path, effect })
      },
      list: (path) =>
        run({ operation: 'list', path, effect: () => [...tree.directory(path).cache.keys()].sort() }),
      exists: (path) =>
        run({ operation: 'exists', path, effect: () => tree.find(path, 'cache') !== undefined }),
      makeDirectory: (path) =>
        run({ operation: 'makeDirectory', path, effect: () => tree.makeDirectory(path) }),
      rename: (from, to) => run({ operation: 'rename', path: from, effect: () => tree.rename(from, to) }),
      remove: (path) => run({ operation: 'remove', path, effect: () => tree.remove(path) }),
      removeTree: (path) => run({ operation: 'removeTree', path, effect: () => tree.removeTree(path) }),
      syncDirectory: (path) => {
        // What completes while the sync is under way is not part of it.
        const node = tree.find(path, 'cache')
        const end = node?.kind === 'directory' ? node.changeEnd : 0
        const effect = (): void => tree.directory(path).flush(end)
        return run({ operation: 'syncDirectory', path, effect })
      },
      freeBytes: (path) => run({ operation: 'freeBytes', path, effect: () => this.#freeBytes() }),
    }
  }

  // ---- the end of a process ----

  crash(survival: Survival = 'chance'): void {
    this.#endProcess(survival)
    this.#tree.powerCut(this.#random, survival)
  }

  kill(): void {
    this.#endProcess('chance')
  }

  #endProcess(survival: Survival): void {
    this.#process.isAlive = false
    this.#process = newProcess()
    for (const operation of this.#inFlight) {
      const happens = survival === 'chance' ? this.#random.chance(0.5) : survival === 'everything'
      if (happens) operation.interrupt()
    }
    this.#inFlight.clear()
    if (this.#isHalted) this.#halted = Promise.withResolvers()
    this.#isHalted = false
    this.#haltAt = Number.POSITIVE_INFINITY
  }

  // ---- faults ----

  failNext(failure: DiskFailure): void {
    this.#failures.push({ failure, left: failure.nth ?? 1 })
  }

  hang(operations?: ReadonlySet<DiskOperation>): void {
    this.resume()
    this.#hang = { operations, waiting: [] }
  }

  resume(): void {
    const waiting = this.#hang?.waiting ?? []
    this.#hang = undefined
    for (const end of waiting) {
      if (this.#scheduler === undefined) end()
      else this.#scheduler.after(0, end)
    }
  }

  strayNext(kind: StrayKind, nth: number, onStray: () => void = () => undefined): void {
    this.#stray = { kind, left: nth, onStray }
  }

  setFaults(faults: DiskFaults): void {
    this.#faults = faults
  }

  setLatency(latency: DiskLatency): void {
    this.#latency = latency
  }

  clearFaults(): void {
    this.#failures = []
    this.#faults = {}
    this.#latency = this.#healthyLatency
    this.#stray = undefined
    this.resume()
  }

  wipe(): void {
    assert(this.#inFlight.size === 0, 'no process uses a disk that is wiped')
    this.#tree = new DiskTree()
    this.#stray = undefined
  }

  copy(): DiskCopy {
    assert(this.#inFlight.size === 0, 'no process uses a disk that is copied')
    return this.#tree.clone()
  }

  restore(copy: DiskCopy): void {
    assert(this.#inFlight.size === 0, 'no process uses a disk that is replaced')
    this.#tree = copy.clone()
  }

  rot(path: string, range: { first: number; end: number }): void {
    const file = this.#tree.file(path)
    assert(range.first < range.end && range.end <= file.cache.size, 'rot lies inside the file')
    const bits = new Uint8Array(range.end - range.first)
    for (let i = 0; i < bits.length; i++) bits[i] = 1 << this.#random.between(0, 8)
    for (const layer of [file.cache, file.durable]) {
      const bytes = new Uint8Array(bits.length)
      const count = layer.read(range.first, bytes)
      for (let i = 0; i < count; i++) bytes[i] = (bytes[i] as number) ^ (bits[i] as number)
      if (count > 0) layer.write(range.first, bytes.subarray(0, count))
    }
  }

  haltAt(operation: number): void {
    assert(operation > this.operationCount, 'that operation has begun already')
    this.#haltAt = operation
  }

  get halted(): Promise<'halted'> {
    return this.#halted.promise
  }

  // ---- inspection ----

  countOf(operation: DiskOperation): number {
    return this.#counts.get(operation) ?? 0
  }

  get openFiles(): number {
    return this.#process.openFiles
  }

  durableBytes(path: string): Uint8Array | undefined {
    const node = this.#tree.find(path, 'durable')
    return node?.kind === 'file' ? node.durable.toBytes() : undefined
  }

  cachedBytes(path: string): Uint8Array | undefined {
    const node = this.#tree.find(path, 'cache')
    return node?.kind === 'file' ? node.cache.toBytes() : undefined
  }

  get usedBytes(): number {
    return this.#tree.usedBytes
  }

  paths(layer: 'durable' | 'cached'): string[] {
    return this.#tree.paths(layer)
  }

  // ---- operations ----

  #freeBytes(): number {
    const { bytesMax } = this.#faults
    return bytesMax === undefined ? unlimitedBytes : Math.max(0, bytesMax - this.usedBytes)
  }

  async #perform<T>(process: DiskProcess, action: DiskAction<T>): Promise<T> {
    if (!process.isAlive) return never()
    this.operationCount++
    this.#counts.set(action.operation, this.countOf(action.operation) + 1)
    if (this.operationCount >= this.#haltAt && !this.#isHalted) {
      this.#isHalted = true
      this.#halted.resolve('halted')
    }
    const failure = this.#failureOf(action)
    const entry: InFlight = {
      interrupt: () => {
        try {
          if (action.interrupted === undefined) action.effect()
          else action.interrupted()
        } catch (error) {
          if (!isQuorateError(error)) throw error
        }
      },
    }
    this.#inFlight.add(entry)
    await this.#delay(process, action)
    while (this.#isHanging(action)) await this.#untilResumed(process)
    if (!process.isAlive || this.#isHalted) return never()
    this.#inFlight.delete(entry)
    if (failure !== undefined) {
      action.failed?.()
      const code = failure.code ?? 'disk-failed'
      const cause = code === 'disk-failed' ? 'input/output error' : 'no space'
      throw new QuorateError(code, `${action.operation} of ${action.path} failed: ${cause}`)
    }
    return action.effect()
  }

  #isHanging({ operation }: DiskAction<unknown>): boolean {
    return this.#hang !== undefined && this.#hang.operations?.has(operation) !== false
  }

  #untilResumed(process: DiskProcess): Promise<void> {
    return new Promise((resolve) => {
      this.#hang?.waiting.push(() => process.deliver(resolve))
    })
  }

  /** A write reached the cache: it may be the one that goes astray. */
  #written(file: FileNode): void {
    const stray = this.#stray
    if (stray === undefined || --stray.left > 0) return
    this.#stray = undefined
    stray.onStray()
    const bytes = file.loseNewest()
    if (stray.kind === 'lost') return
    const victims = this.#tree.paths('durable').flatMap((path) => {
      const node = this.#tree.find(path, 'durable')
      return node?.kind === 'file' && node.durable.size > 0 ? [node] : []
    })
    if (victims.length > 0) this.#random.pick(victims).overwrite(bytes, this.#random)
  }

  #delay(process: DiskProcess, action: DiskAction<unknown>): Promise<void> {
    const scheduler = this.#scheduler
    if (scheduler === undefined) return Promise.resolve()
    const isDurable =
      action.isDurable ?? (action.operation !== 'write' && durableOperations.has(action.operation))
    const delayMs = this.#latency(action.operation, action.bytes ?? 0, isDurable)
    return new Promise((resolve) => {
      scheduler.after(delayMs, () => process.deliver(resolve))
    })
  }

  #failureOf(action: DiskAction<unknown>): DiskFailure | undefined {
    for (const planned of this.#failures) {
      const { failure } = planned
      if (failure.operation !== action.operation) continue
      if (failure.path !== undefined && !action.path.includes(failure.path)) continue
      planned.left--
      if (planned.left > 0) continue
      this.#failures = this.#failures.filter((other) => other !== planned)
      return failure
    }
    const { operation } = action
    const chance = this.#faults.errorChance?.[operation] ?? 0
    return chance > 0 && this.#random.chance(chance) ? { operation } : undefined
  }
}

function newProcess(): DiskProcess {
  return { isAlive: true, openFiles: 0, deliver: (callback) => callback() }
}

/** What `freeBytes` answers when no limit was set. */
const unlimitedBytes = 2 ** 40

/** For callers that do not live any more. */
function never(): Promise<never> {
  return new Promise(() => undefined)
}

/** A good local disk: 20 us to read, 30 us to write to the cache, about 120 us to reach the medium, and 500 MB/s. */
export function solidStateLatency(random: SeededRandom): DiskLatency {
  return (operation, bytes, isDurable) => {
    const base = isDurable ? 0.12 : operation === 'read' ? 0.02 : 0.03
    // One operation in a hundred waits for the disk's own housekeeping.
    const pause = random.chance(0.01) ? 5 * random.unit() : 0
    return base * (0.8 + 0.6 * random.unit()) + bytes / 500_000 + pause
  }
}
