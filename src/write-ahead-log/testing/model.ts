import assert from 'node:assert/strict'
import { present, type SeededRandom } from '../../base/index.ts'
import type { Entry, HardState, LogEnd } from '../../raft/index.ts'
import type { RecoveredGroup, WriteAheadLog } from '../index.ts'
import { endOf, entriesAfter, logStart, readAll } from './harness.ts'

/** A group's log as it has to be: never changed, each operation makes a new one. */
interface GroupModel {
  readonly base: LogEnd
  readonly entries: readonly Entry[]
  readonly hardState: HardState
}

interface Operation {
  readonly kind: 'write' | 'release' | 'reset'
  readonly group: number
  readonly hardState: HardState | undefined
  readonly truncateAfter: number | undefined
  readonly entries: readonly Entry[]
  readonly base: LogEnd
  isAcknowledged: boolean
}

type World = ReadonlyMap<number, GroupModel>

const freshGroup: GroupModel = {
  base: logStart,
  entries: [],
  hardState: { term: 0, vote: 0n, commit: 0 },
}

function lastOf(group: GroupModel): LogEnd {
  return group.entries.length === 0 ? group.base : endOf(group.entries)
}

/**
 * What a user of the log expects of it: draws operations that a replica could ask for, and checks after a power cut
 * that the log shows the state after all that was acknowledged, and perhaps some of what was not.
 */
export class LogModel {
  readonly #random: SeededRandom
  readonly #groups: readonly number[]
  /** As recovered, before the operations. */
  #start: World
  #now: World
  #operations: Operation[] = []
  #resetChain = 1
  /** Where the commit index of each group stood, and with which chain: never to be lost or changed. */
  readonly #committed = new Map<number, LogEnd>()

  readonly #cutEnds = new Map<number, number | undefined>()

  constructor(random: SeededRandom, groups: readonly number[]) {
    this.#random = random
    this.#groups = groups
    this.#start = new Map(groups.map((group) => [group, freshGroup]))
    this.#now = this.#start
  }

  get hasPending(): boolean {
    return this.#operations.some((operation) => !operation.isAcknowledged)
  }

  /** Asks for `count` operations in bursts, waits for each burst, and reads between them. */
  async work(log: WriteAheadLog, count: number): Promise<void> {
    for (let done = 0; done < count; ) {
      const burst = this.#random.between(1, 5)
      const promises: Promise<void>[] = []
      for (let i = 0; i < burst; i++) promises.push(this.#issue(log))
      await Promise.all(promises)
      done += burst
      for (const group of this.#groups) this.#committed.set(group, this.#durableCommit(group))
      if (this.#random.chance(0.2)) await this.checkEntries(log)
    }
  }

  #issue(log: WriteAheadLog): Promise<void> {
    const operation = this.#draw()
    this.#operations.push(operation)
    const position = this.#operations.length
    this.#now = applied(this.#now, operation)
    const { group, hardState, truncateAfter, entries, base } = operation
    const promise =
      operation.kind === 'write'
        ? log.write({ group, hardState, truncateAfter, entries })
        : operation.kind === 'release'
          ? log.release(group, base)
          : log.reset(group, base, hardState)
    return promise.then(() => {
      const earlier = this.#operations.slice(0, position - 1)
      assert.ok(
        operation.kind === 'release' || earlier.every((other) => other.isAcknowledged),
        'acknowledged in order',
      )
      operation.isAcknowledged = true
    })
  }

  #draw(): Operation {
    const random = this.#random
    const group = random.pick(this.#groups)
    const now = present(this.#now.get(group), 'a known group')
    const committed = this.#committed.get(group) ?? logStart
    const last = lastOf(now)
    const base = { kind: 'write', group, isAcknowledged: false, base: now.base } as const
    const dice = random.unit()
    if (dice < 0.1 && committed.index > now.base.index) {
      const index = random.between(now.base.index + 1, committed.index + 1)
      const entry = present(now.entries[index - now.base.index - 1], 'a committed entry')
      const mark = { index, term: entry.term, chain: entry.chain }
      return {
        ...base,
        kind: 'release',
        base: mark,
        hardState: undefined,
        truncateAfter: undefined,
        entries: [],
      }
    }
    if (dice < 0.13) {
      const term = now.hardState.term + 1
      const mark = { index: last.index + random.between(-2, 30), term, chain: this.#resetChain++ }
      if (mark.index > Math.max(now.base.index, committed.index, now.hardState.commit)) {
        const hardState = { term, vote: 0n, commit: mark.index }
        return { ...base, kind: 'reset', base: mark, hardState, truncateAfter: undefined, entries: [] }
      }
    }
    const lowest = Math.max(now.hardState.commit, now.base.index, committed.index)
    const isCut = dice < 0.25 && last.index > lowest
    const truncateAfter = isCut ? random.between(lowest, last.index) : undefined
    const isNewTerm = isCut || now.hardState.term === 0 || random.chance(0.15)
    const term = now.hardState.term + (isNewTerm ? 1 : 0)
    const kept = truncateAfter === undefined ? last : lastOf(truncated(now, truncateAfter))
    const count = random.between(0, random.chance(0.1) ? 40 : 5)
    const entries = entriesAfter(kept, count, { group, term, size: random.between(0, 90) })
    const commit = Math.max(now.hardState.commit, random.between(lowest, kept.index + count + 1))
    const hasHardState = isNewTerm || random.chance(0.5)
    const vote = isNewTerm ? BigInt(random.between(0, 4)) : now.hardState.vote
    const hardState = hasHardState ? { term, vote, commit } : undefined
    return { ...base, hardState, truncateAfter, entries }
  }

  /** The commit index that may be counted on: everything issued is durable when this is called. */
  #durableCommit(group: number): LogEnd {
    const now = present(this.#now.get(group), 'a known group')
    return (
      markAt(now, now.hardState.commit) ?? present(this.#committed.get(group), 'a commit index has an entry')
    )
  }

  /** What the log says on reading is what it was given. */
  async checkEntries(log: WriteAheadLog): Promise<void> {
    for (const group of this.#groups) {
      const { base, entries } = present(this.#now.get(group), 'a known group')
      if (entries.length === 0) continue
      const last = lastOf({ ...freshGroup, entries }).index
      assert.deepEqual(await readAll(log, group, base.index + 1, last), entries)
      const first = this.#random.between(base.index + 1, last + 1)
      const { previous } = await log.read(group, first, first + 1, 0)
      assert.deepEqual(
        previous,
        first === base.index + 1 ? base : endOf([entries[first - base.index - 2] as Entry]),
      )
    }
  }

  /** After a power cut and a new open. Goes on from what was found. */
  recover(recovered: readonly RecoveredGroup[]): void {
    const found = new Map(recovered.map((group) => [group.group, group]))
    const match = this.#findState(found)
    assert.ok(match !== undefined, `no state explains what was recovered:\n${this.#describe(recovered)}`)
    const acknowledged = this.#operations.filter(({ isAcknowledged }) => isAcknowledged)
    for (const group of this.#groups) {
      const hardState = found.get(group)?.hardState ?? freshGroup.hardState
      this.#checkHardState(group, hardState, acknowledged)
      const committed = this.#committed.get(group)
      const state: GroupModel = present(match.get(group), 'a known group')
      if (committed !== undefined && committed.index > state.base.index) {
        assert.deepEqual(markAt(state, committed.index), committed, 'what was committed is still there')
      }
      // Whatever the file calls committed was committed.
      if (hardState.commit > Math.max(committed?.index ?? 0, state.base.index)) {
        const known = this.#knownCommits(group).some(
          (mark) => mark.index === hardState.commit && mark.chain === markAt(state, hardState.commit)?.chain,
        )
        assert.ok(
          known,
          `group ${group} was never committed up to ${hardState.commit} like this:\n${this.#describe(recovered)}`,
        )
        this.#committed.set(group, present(markAt(state, hardState.commit), 'it is known'))
      }
    }
    for (const { group, cutEnd } of recovered) {
      if (!this.hasPending && cutEnd !== undefined) {
        assert.equal(cutEnd, this.#cutEnds.get(group), 'nothing was under way, nothing was cut')
      }
      this.#cutEnds.set(group, cutEnd)
    }
    this.#start = new Map(
      [...match].map(([group, state]) => {
        const hardState = found.get(group)?.hardState ?? freshGroup.hardState
        return [group, { ...state, hardState }]
      }),
    )
    this.#now = this.#start
    this.#operations = []
  }

  #findState(found: ReadonlyMap<number, RecoveredGroup>): World | undefined {
    const firstPending = this.#operations.findIndex((operation) => !operation.isAcknowledged)
    const settled = firstPending === -1 ? this.#operations.length : firstPending
    let world = this.#start
    for (const [position, operation] of this.#operations.entries()) {
      if (position >= settled) {
        for (const state of partsOf(world, operation)) if (matches(state, found)) return state
      }
      world = applied(world, operation)
    }
    return matches(world, found) ? world : undefined
  }

  #checkHardState(group: number, hardState: HardState, acknowledged: readonly Operation[]): void {
    const saved = (operations: readonly Operation[]): HardState[] =>
      operations.flatMap((operation) =>
        operation.group === group && operation.hardState !== undefined ? [operation.hardState] : [],
      )
    const start = present(this.#start.get(group), 'a known group').hardState
    const least = saved(acknowledged).at(-1) ?? start
    const possible = [start, ...saved(this.#operations)]
    assert.ok(
      hardState.term >= least.term,
      `group ${group} fell back from term ${least.term} to ${hardState.term}`,
    )
    const isKnown = possible.some(({ term, vote }) => term === hardState.term && vote === hardState.vote)
    assert.ok(isKnown, `group ${group} never voted for ${hardState.vote} in term ${hardState.term}`)
    assert.ok(hardState.commit >= start.commit, `the commit index of group ${group} fell`)
  }

  /** Commit indexes that were asked for, each with the chain there at that time. */
  #knownCommits(group: number): LogEnd[] {
    const known: LogEnd[] = []
    let world = this.#start
    for (const operation of this.#operations) {
      world = applied(world, operation)
      const state: GroupModel = present(world.get(group), 'a known group')
      // Clamped to what was durable, the index may be any up to the one that was asked for.
      for (const entry of state.entries) {
        if (entry.index <= state.hardState.commit) known.push(endOf([entry]))
      }
      known.push(state.base)
    }
    return known
  }

  #describe(recovered: readonly RecoveredGroup[]): string {
    const lines = recovered.map(({ group, base, end }) => `found ${group}: ${text(base)} to ${text(end)}`)
    let world = this.#start
    const state = (): string =>
      [...world].map(([group, model]) => `${group}: ${text(model.base)} to ${text(lastOf(model))}`).join(', ')
    lines.push(`start ${state()}`)
    for (const operation of this.#operations) {
      world = applied(world, operation)
      const { kind, group, hardState, truncateAfter } = operation
      const outcome = operation.isAcknowledged ? 'acknowledged' : 'pending'
      lines.push(`${outcome} ${kind} ${group} commit ${hardState?.commit} cut ${truncateAfter}: ${state()}`)
    }
    return lines.join('\n')
  }
}

function text(mark: LogEnd): string {
  return `${mark.index}/${mark.term}/${mark.chain}`
}

function markAt(group: GroupModel, index: number): LogEnd | undefined {
  if (index === group.base.index) return group.base
  const entry = group.entries[index - group.base.index - 1]
  return entry === undefined ? undefined : endOf([entry])
}

function truncated(group: GroupModel, after: number): GroupModel {
  return { ...group, entries: group.entries.filter(({ index }) => index <= after) }
}

function applied(world: World, operation: Operation): World {
  const before = present(world.get(operation.group), 'a known group')
  let group: GroupModel = { ...before, hardState: operation.hardState ?? before.hardState }
  if (operation.kind === 'reset') group = { ...group, base: operation.base, entries: [] }
  if (operation.kind === 'release' && operation.base.index > group.base.index) {
    const entries = group.entries.filter(({ index }) => index > operation.base.index)
    group = { ...group, base: operation.base, entries }
  }
  if (operation.truncateAfter !== undefined) group = truncated(group, operation.truncateAfter)
  group = { ...group, entries: [...group.entries, ...operation.entries] }
  return new Map(world).set(operation.group, group)
}

/** Every state in which an operation can be left half done: nothing, cut, cut and the first entries. */
function partsOf(world: World, operation: Operation): World[] {
  const parts = [world]
  for (let count = 0; count < operation.entries.length; count++) {
    parts.push(applied(world, { ...operation, entries: operation.entries.slice(0, count) }))
  }
  return parts
}

function matches(world: World, found: ReadonlyMap<number, RecoveredGroup>): boolean {
  for (const [id, group] of world) {
    const { base, end } = found.get(id) ?? { base: logStart, end: logStart }
    if (text(base) !== text(group.base) || text(end) !== text(lastOf(group))) return false
  }
  return true
}
