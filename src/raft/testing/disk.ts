import { assert, type NodeId, present, utf8Encode } from '../../base/index.ts'
import { createEntry } from '../chain.ts'
import { decodeConfiguration } from '../configuration.ts'
import type { RaftRestore } from '../contract.ts'
import {
  type Configuration,
  type Entry,
  entryKind,
  type HardState,
  type LogEnd,
  type SnapshotMark,
  type StorageOperation,
} from '../types.ts'

/** What a state machine in a test is: everything it applied, index 1 first. */
export type State = readonly Entry[]

/** What survives a crash of a node in a test. */
export class TestDisk {
  hardState: HardState = { term: 0, vote: 0n, commit: 0 }
  base: LogEnd = { index: 0, term: 0, chain: 0 }
  entries: Entry[] = []
  /** State at `base`, with the configuration that counted there. */
  state: State = []
  configuration: Configuration
  configurationIndex = 0
  cutEnd: number | undefined

  constructor(configuration: Configuration) {
    this.configuration = configuration
  }

  get end(): LogEnd {
    const last = this.entries.at(-1)
    return last === undefined ? this.base : { index: last.index, term: last.term, chain: last.chain }
  }

  entryAt(index: number): Entry | undefined {
    return this.entries[index - this.base.index - 1]
  }

  perform(operation: StorageOperation, stateOf: (snapshot: SnapshotMark) => State): void {
    if (operation.hardState !== undefined) {
      assert(operation.hardState.commit <= this.end.index, 'a commit index is written down after its entry')
      this.hardState = operation.hardState
    }
    if (operation.kind === 'install') {
      // The store is not on this disk: only what a restart builds on is.
      if (!operation.keepsLog) this.#install(operation.snapshot, stateOf(operation.snapshot))
      return
    }
    if (operation.truncateAfter !== undefined) {
      assert(operation.truncateAfter >= this.base.index, 'a test disk cuts within its log')
      this.entries.length = operation.truncateAfter - this.base.index
    }
    for (const entry of operation.entries) {
      assert(entry.index === this.end.index + 1, 'a test disk is written without a gap')
      this.entries.push(entry)
    }
    assert(this.end.chain === operation.end.chain, 'an operation leaves the end that it names')
  }

  /** The node applied up to the end of `state` and made a snapshot of it: the log before may go. */
  release(state: State, configuration: Configuration, configurationIndex: number): LogEnd {
    const { index, term, chain } = present(state.at(-1), 'a snapshot holds at least one entry')
    assert(index <= this.end.index, 'only what is durable is released')
    this.entries = this.entries.slice(index - this.base.index)
    this.base = { index, term, chain }
    this.state = state
    this.configuration = configuration
    this.configurationIndex = configurationIndex
    return this.base
  }

  /** Gives a node that never ran a log with entries of these terms. */
  giveLog(group: number, terms: readonly number[], term: number): void {
    assert(this.end.index === 0, 'a log is given to an empty disk')
    for (const entryTerm of terms) {
      const index = this.end.index + 1
      const payload = utf8Encode(`${index}.${entryTerm}`)
      const birth = { group, index, term: entryTerm, payload, previousChain: this.end.chain }
      this.entries.push(createEntry({ ...birth, kind: entryKind.command }))
    }
    this.hardState = { term: Math.max(term, this.end.term), vote: 0n, commit: 0 }
  }

  /** What a restarted node is given; of the log only `recentMax` entries more than it needs. */
  restore(recentMax: number): RaftRestore {
    const { hardState, base, end, cutEnd } = this
    const configurations = [{ index: this.configurationIndex, configuration: this.configuration }]
    for (const { index, kind, payload } of this.entries) {
      if (kind !== entryKind.configuration) continue
      configurations.push({ index, configuration: decodeConfiguration(payload) })
    }
    const needed = Math.min(Math.max(hardState.commit, base.index), end.index)
    const firstRecent = Math.max(needed - recentMax, base.index + 1)
    const recent = this.entries.slice(firstRecent - base.index - 1)
    return { hardState, base, end, recent, configurations, applied: base.index, cutEnd }
  }

  mark(): SnapshotMark {
    const { base: end, configuration, configurationIndex } = this
    return { end, configuration, configurationIndex }
  }

  #install(snapshot: SnapshotMark, state: State): void {
    this.base = snapshot.end
    this.entries = []
    this.state = state
    this.configuration = snapshot.configuration
    this.configurationIndex = snapshot.configurationIndex
  }
}

export function voterSet(...voters: NodeId[]): Configuration {
  return { voters, outgoing: [], learners: [], context: new Uint8Array(0) }
}
