import { assert, formatId, type NodeId } from '../base/index.ts'
import type { Logger } from '../io/index.ts'
import { type Configuration, decodeConfiguration, type Entry, type RaftNode } from '../raft/index.ts'
import { type Directory, directoryOf } from './members.ts'
import { find } from './membership.ts'

/**
 * The members as the last applied configuration has them, which is what callers are shown, and who has to be spoken to:
 * that follows the newest configuration of the log, applied or not.
 */
export interface AppliedMembersOptions {
  readonly raft: RaftNode
  readonly logger: Logger
  /** What the log and its snapshot hold, oldest first. */
  readonly configurations: readonly { readonly index: number; readonly configuration: Configuration }[]
  readonly appliedIndex: number
  /** Who has to be spoken to. */
  tellPeers(directory: Directory): void
}

export class AppliedMembers {
  readonly #options: AppliedMembersOptions
  #index: number
  #configuration: Configuration
  #directory: Directory

  constructor(options: AppliedMembersOptions) {
    this.#options = options
    const { configurations, appliedIndex } = options
    const newest = configurations.findLast(({ index }) => index <= appliedIndex) ?? configurations[0]
    assert(newest !== undefined, 'a group starts with a configuration, if only an empty one')
    this.#index = newest.index
    this.#configuration = newest.configuration
    this.#directory = directoryOf(newest.configuration)
  }

  /** The entry that brought `configuration`. */
  get index(): number {
    return this.#index
  }

  get configuration(): Configuration {
    return this.#configuration
  }

  get directory(): Directory {
    return this.#directory
  }

  apply(entry: Entry): void {
    this.replace(entry.index, decodeConfiguration(entry.payload))
    this.#options.logger.log('info', 'members-changed', {
      index: entry.index,
      members: this.#directory.members.map((member) => formatId(member.id)).join(','),
      voters: this.#configuration.voters.map(formatId).join(','),
      outgoing: this.#configuration.outgoing.map(formatId).join(','),
      clusterVersion: this.#directory.clusterVersion,
    })
  }

  /** `configuration` counts from here on, by its entry or by a snapshot that stands for it. */
  replace(index: number, configuration: Configuration): void {
    this.#index = index
    this.#configuration = configuration
    this.#directory = directoryOf(configuration)
    this.tellPeers()
  }

  /** The newest member list counts; whom it takes out has to hear and answer until that is committed. */
  tellPeers(): void {
    const newest = directoryOf(this.#options.raft.configuration)
    const { members, leaving } = this.#directory
    const others = [...newest.leaving, ...members, ...leaving]
    const isFirst = (member: { id: NodeId }, slot: number): boolean =>
      find(newest, member.id) === undefined && others.findIndex(({ id }) => id === member.id) === slot
    this.#options.tellPeers({ ...newest, leaving: others.filter(isFirst) })
  }
}
