// Counts over thousands of keys against a list of every change. SEED=n repeats one run.
import assert from 'node:assert/strict'
import test from 'node:test'
import { bytesFromLatin1, present, SeededRandom } from '../base/index.ts'
import { createMemoryBackend, createStore, type MemoryBackend } from '../store/index.ts'
import { type ConsistentCore, createConsistentCore, encodeCommand, type WriteCommand } from './index.ts'

interface Change {
  readonly key: string
  readonly revision: number
  readonly isPut: boolean
}

/** Ranges as [first, end) in one character a byte; end "\0" is open. */
interface Interval {
  readonly first: string
  readonly end: string
}

const noLimit = { limit: 0, sortOrder: 'none', sortTarget: 'key', keysOnly: true } as const
const noFilter = { modRevisionMin: 0, modRevisionMax: 0, createRevisionMin: 0, createRevisionMax: 0 }
/** Longer than a row key, so that some keys lie in layers, some of them in one of their own. */
const long = 'k5'.padEnd(1950, '-')

class Run {
  readonly random: SeededRandom
  backend: MemoryBackend
  core: ConsistentCore
  changes: Change[] = []
  live = new Set<string>()
  log: WriteCommand[] = []

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
    this.backend = createMemoryBackend({ schedule: runNow, random: this.random.fork() })
    this.core = createConsistentCore({ store: createStore(this.backend) })
  }

  // ---- writing -----------------------------------------------------------------------------------------------------

  apply(write: WriteCommand): void {
    this.log.push(write)
    this.core.apply(entry(this.log.length, write))
  }

  put(keys: readonly string[]): void {
    this.apply({
      kind: 'transaction',
      compare: [],
      success: keys.map((key) => putOf(key)),
      failure: [],
    })
    const { revision } = this.core
    for (const key of keys) {
      this.changes.push({ key, revision, isPut: true })
      this.live.add(key)
    }
  }

  deleteRange(interval: Interval): void {
    const doomed = [...this.live].filter((key) => isWithin(interval, key))
    this.apply({ kind: 'deleteRange', ...bytesOf(interval), previous: false })
    const { revision } = this.core
    for (const key of doomed) {
      this.changes.push({ key, revision, isPut: false })
      this.live.delete(key)
    }
  }

  randomKey(): string {
    const { random } = this
    const key = `k${random.between(0, 9)}${random.between(0, 600)}`
    if (random.chance(0.05)) return `${long}${key}`
    return random.chance(0.02) ? `${long}${key}${long}` : key
  }

  randomInterval(): Interval {
    const { random } = this
    const first = random.chance(0.2) ? '\0' : this.randomKey()
    if (random.chance(0.3)) return { first, end: '\0' }
    // As a client asks for everything that begins with the same bytes.
    if (random.chance(0.3)) return { first: first.slice(0, 3), end: `${first.slice(0, 3)}\xff` }
    return { first, end: this.randomKey() }
  }

  /** Some keys at once, next to each other or anywhere. */
  write(): void {
    const { random } = this
    const draw = random.unit()
    if (draw < 0.6) {
      const keys = new Set(Array.from({ length: random.between(1, 100) }, () => this.randomKey()))
      this.put([...keys])
    } else if (draw < 0.65) {
      const prefix = `k${random.between(0, 9)}${random.between(0, 600)}`
      for (let part = 0; part < 8; part++) {
        this.put(Array.from({ length: 100 }, (_, i) => `${prefix}/${part * 100 + i}`))
      }
    } else if (draw < 0.85) {
      const keys = [...this.live]
      this.deleteRange({ first: keys[random.between(0, keys.length + 1)] ?? 'none', end: '' })
    } else if (draw < 0.95) {
      this.deleteRange({ first: `k${random.between(0, 99)}`, end: `k${random.between(0, 99)}` })
    } else {
      this.deleteRange(this.randomInterval())
    }
  }

  // ---- counting ----------------------------------------------------------------------------------------------------

  expected(interval: Interval, revision: number): number {
    if (revision === this.core.revision) return countOf(this.live, interval)
    const live = new Set<string>()
    for (const { key, revision: at, isPut } of this.changes) {
      if (at > revision) break
      if (isPut) live.add(key)
      else live.delete(key)
    }
    return countOf(live, interval)
  }

  /** Counts at the newest or an older revision, with a limit or without pairs; others write while it pauses. */
  count(): void {
    const { random, core } = this
    const lowest = Math.max(1, core.compactRevision)
    const revision = random.chance(0.6) ? core.revision : random.between(lowest, core.revision + 1)
    const interval = this.randomInterval()
    const expected = this.expected(interval, revision)
    const limit = random.chance(0.5) ? 0 : random.between(1, 700)
    const kind = { kind: 'range', ...bytesOf(interval), ...noLimit, ...noFilter, revision } as const
    const steps = core.range(
      limit === 0 ? { ...kind, countOnly: true } : { ...kind, countOnly: false, limit },
    )
    for (;;) {
      const step = steps.next()
      if (step.done === true) {
        assert.ok(step.value.kind === 'range')
        assert.equal(step.value.count, expected, JSON.stringify({ interval, revision, limit }))
        assert.equal(step.value.pairs.length, Math.min(limit, expected))
        assert.equal(step.value.more, limit > 0 && expected > limit)
        return
      }
      if (random.chance(0.3)) this.write()
      if (random.chance(0.1)) this.apply({ kind: 'compact', revision: core.revision - 1 })
      core.maintain()
    }
  }

  /** What a command counts in the middle of its changes. */
  countInside(): void {
    const key = this.randomKey()
    const interval = this.randomInterval()
    const range = { kind: 'range', ...bytesOf(interval), ...noLimit, ...noFilter, revision: 0 } as const
    const write: WriteCommand = {
      kind: 'transaction',
      compare: [],
      success: [putOf(key), { ...range, countOnly: true }],
      failure: [],
    }
    this.log.push(write)
    const { result, revision } = this.core.apply(entry(this.log.length, write))
    this.changes.push({ key, revision, isPut: true })
    this.live.add(key)
    assert.ok(result.kind === 'transaction')
    const counted = result.results[1]
    assert.ok(counted?.kind === 'range')
    assert.equal(counted.count, countOf(this.live, interval), JSON.stringify(interval))
  }

  // ---- what takes the store from under it --------------------------------------------------------------------------

  crash(): void {
    this.backend = this.backend.crash()
    this.core = createConsistentCore({ store: createStore(this.backend) })
    for (let index = this.core.appliedIndex + 1; index <= this.log.length; index++) {
      this.core.apply(entry(index, present(this.log[index - 1], 'the log is kept')))
    }
  }

  /** The state as of now replaces that of a replica that has counted another one. */
  restore(): void {
    const source = this.core.openSnapshot()
    const other = new Run(this.random.between(0, 1_000_000))
    for (let part = 0; part < 20; part++) other.write()
    other.count()
    const sink = other.core.beginRestore()
    for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) sink.write(chunk)
    source.done()
    sink.finish()
    this.core = other.core
    this.backend = other.backend
  }

  step(): void {
    const draw = this.random.unit()
    if (draw < 0.3) this.write()
    else if (draw < 0.7) this.count()
    else if (draw < 0.8) this.countInside()
    else if (draw < 0.9) this.flush()
    else if (draw < 0.95) this.core.maintain()
    else if (draw < 0.97) this.apply({ kind: 'compact', revision: this.core.revision - 2 })
    else if (draw < 0.985) this.crash()
    else this.restore()
  }

  flush(): void {
    const taken = this.core.takeBatch()
    if (taken === undefined) return
    this.backend.commit(taken.batch).catch(assert.fail)
    this.core.flushed()
  }
}

function putOf(key: string): Extract<WriteCommand, { kind: 'put' }> {
  const value = bytesFromLatin1('v')
  return {
    kind: 'put',
    key: bytesFromLatin1(key),
    value,
    lease: 0n,
    previous: false,
    ignoreValue: false,
    ignoreLease: false,
  }
}

function bytesOf({ first, end }: Interval): { key: Uint8Array; rangeEnd: Uint8Array } {
  return { key: bytesFromLatin1(first), rangeEnd: bytesFromLatin1(end) }
}

function isWithin({ first, end }: Interval, key: string): boolean {
  return end === '' ? key === first : key >= first && (end === '\0' || key < end)
}

function countOf(live: ReadonlySet<string>, interval: Interval): number {
  let count = 0
  for (const key of live) if (isWithin(interval, key)) count++
  return count
}

function entry(index: number, write: WriteCommand): Parameters<ConsistentCore['apply']>[0] {
  return { index, term: 1, timeMs: 0, payload: encodeCommand({ session: undefined, write }) }
}

function runNow(finishWork: () => void): Promise<void> {
  finishWork()
  return Promise.resolve()
}

const seeds =
  process.env.SEED === undefined ? Array.from({ length: 4 }, (_, i) => 2000 + i) : [Number(process.env.SEED)]

for (const seed of seeds) {
  test(`every count is that of the model, seed ${seed}`, () => {
    const run = new Run(seed)
    for (let part = 0; part < 60; part++) run.write()
    for (let step = 0; step < 300; step++) run.step()
    assert.ok(run.changes.length > 5000, 'the run did something')
  })
}
