// The three rules of the writer, in any order of what happens around it.
import assert from 'node:assert/strict'
import test from 'node:test'
import { isQuorateError, SeededRandom } from '../base/index.ts'
import { never, silentLogger, type Time } from '../io/index.ts'
import type { LogEnd, SnapshotMark } from '../raft/index.ts'
import type { SnapshotFile, SnapshotStore } from '../snapshot/index.ts'
import type { WriteAheadLog } from '../write-ahead-log/index.ts'
import type { AppliedMembers } from './applied-members.ts'
import { defaultGroupLimits } from './options.ts'
import { SnapshotWriter } from './snapshot-writer.ts'
import type { SnapshotSource, StateMachine } from './state-machine.ts'

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const configuration = { voters: [1n], outgoing: [], learners: [], context: new Uint8Array(0) }
const endAt = (index: number): LogEnd => ({ index, term: 1, chain: index })

/** A writer in a world of which each step happens when the test says so; looked at after every change of the disk. */
class World {
  readonly random: SeededRandom
  readonly writer: SnapshotWriter<unknown>
  applied = 1
  durable = 0
  losses = 0
  isReplacing = false
  isStopped = false
  openCuts = 0
  /** Who wants a cut or has one, and how many were read. */
  readers = 0
  read = 0
  released = 0
  files: SnapshotFile[] = []
  readonly failures: unknown[] = []
  /** Steps that wait for their turn. */
  #steps: (() => void)[] = []

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
    const time = { monotonicMs: () => 0 } as unknown as Time
    this.writer = new SnapshotWriter({
      group: 0,
      time,
      logger: silentLogger,
      maybe: never,
      limits: { ...defaultGroupLimits, snapshotCount: 3, snapshotLogBytesMin: 0, snapshotLogShare: 0 },
      log: {
        gauges: { bytes: 0 },
        release: (_group: number, end: LogEnd) => this.#release(end),
      } as unknown as WriteAheadLog,
      snapshots: {
        list: () => this.files,
        save: (mark: SnapshotMark, next: () => Uint8Array | undefined) => this.#save(mark, next),
        forget: (file: SnapshotFile) => {
          this.files = this.files.filter((other) => other !== file)
        },
        prune: (count: number) => this.#prune(count),
      } as unknown as SnapshotStore,
      machine: { openSnapshot: () => this.#open() } as unknown as StateMachine<unknown>,
      members: { index: 0, configuration } as unknown as AppliedMembers,
      baseIndex: 0,
      appliedEnd: () => endAt(this.applied),
      durableIndex: () => this.durable,
      lossCount: () => this.losses,
      needsLog: () => false,
      isReplacing: () => this.isReplacing,
      isAwaited: () => false,
      isStopped: () => this.isStopped,
      released: () => undefined,
      failed: (error) => this.failures.push(error),
    })
  }

  apply(count: number): void {
    if (!this.isReplacing) this.applied += count
  }

  flush(): void {
    this.durable = this.random.between(this.durable, this.applied + 1)
  }

  /** The state begins or ceases to be replaced, or is lost. */
  replaceNowAndThen(): void {
    if (this.random.chance(0.1)) this.isReplacing = !this.isReplacing
    if (this.random.chance(0.02)) this.losses++
  }

  /** One of the steps that wait goes on. False: none does. */
  async step(): Promise<boolean> {
    const [next] = this.#steps.splice(this.random.between(0, Math.max(1, this.#steps.length)), 1)
    next?.()
    await settled()
    return next !== undefined
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#steps.push(resolve))
  }

  #open(): SnapshotSource {
    assert.equal(this.openCuts, 0, 'one cut is open at a time')
    this.openCuts++
    let left = this.random.between(0, 4)
    return {
      appliedIndex: this.applied,
      appliedTerm: 1,
      next: () => (left-- > 0 ? new Uint8Array(1) : undefined),
      done: () => {
        this.openCuts--
      },
    }
  }

  async #save(mark: SnapshotMark, next: () => Uint8Array | undefined): Promise<SnapshotFile> {
    while (next() !== undefined) await this.#turn()
    const file = { mark, path: `${mark.end.index}`, sizeBytes: 1 }
    const others = this.files.filter(({ path }) => path !== file.path)
    this.files = [file, ...others].sort((left, right) => right.mark.end.index - left.mark.end.index)
    return file
  }

  async #release(end: LogEnd): Promise<void> {
    await this.#turn()
    assert.ok(end.index <= this.durable, `${end.index} is released, the store has ${this.durable}`)
    this.released = Math.max(this.released, end.index)
    this.#checkDisk()
    await this.#turn()
  }

  async #prune(count: number): Promise<void> {
    this.files = this.files.slice(0, count)
    this.#checkDisk()
    await this.#turn()
  }

  /** Whichever one of the snapshots is damaged, another one leads to the log. */
  #checkDisk(): void {
    const ends = this.files.map(({ mark }) => mark.end.index)
    const facts = `the log begins after ${this.released}, the snapshots end at ${ends.join(', ')}`
    if (this.released === 0 || this.losses > 0) return
    assert.ok(ends.includes(this.released), `${facts}: nothing says who the members are`)
    assert.ok(ends.filter((index) => index >= this.released).length >= 2, facts)
  }
}

/** Reads a cut to its end, or gives it up. */
async function readCut(world: World): Promise<void> {
  world.readers++
  try {
    const { source, mark } = await world.writer.openCut()
    assert.deepEqual([source.appliedIndex, mark.end.index], [world.applied, world.applied])
    try {
      for (let left = world.random.between(0, 4); left > 0 && source.next() !== undefined; left--)
        await world.step()
    } finally {
      source.done()
    }
    world.read++
  } catch (error) {
    if (!isQuorateError(error, 'no-leader', 'stopped')) world.failures.push(error)
  } finally {
    world.readers--
  }
}

test('one cut at a time; the log begins at a snapshot that is kept, beside another, and not behind the store', async () => {
  let read = 0
  let releases = 0
  for (let seed = 1; seed <= 150; seed++) {
    const world = new World(seed)
    const { random, writer } = world
    const acts: (() => unknown)[] = [
      () => world.apply(random.between(1, 4)),
      () => world.flush(),
      () => writer.poll(),
      () => writer.poll(),
      () => readCut(world),
      () => world.step(),
      () => world.step(),
      () => world.replaceNowAndThen(),
    ]
    for (let i = 0; i < 150; i++) {
      random.pick(acts)()
      writer.applied(1)
      await settled()
    }
    if (random.chance(0.5)) world.isStopped = true
    // Nobody waits for ever, whatever became of those before.
    for (let idle = 0; idle < 5; ) idle = (await world.step()) ? 0 : idle + 1
    assert.deepEqual([world.failures, world.readers, world.openCuts], [[], 0, 0], `seed ${seed}`)
    read += world.read
    releases += world.released > 0 ? 1 : 0
  }
  assert.ok(read > 100 && releases > 50, `${read} cuts were read, ${releases} logs released`)
})
