import {
  assert,
  ByteReader,
  ByteWriter,
  compareIds,
  type NodeId,
  noNode,
  present,
  QuorateError,
} from '../base/index.ts'
import type { ConfigurationChange } from './contract.ts'
import type { Configuration } from './types.ts'

/** The format of a configuration entry's payload that this version writes. */
const configurationVersion = 1

/**
 * The payload of a configuration entry.
 * Shape:  u8 version = 1 | ids voters | ids outgoing | ids learners | varint length | context
 *         ids = varint count | u64 each, ascending. docs/formats/configuration.md.
 */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  assert(configuration.voters.length > 0, 'a configuration has at least one voter')
  const writer = new ByteWriter(64 + configuration.context.length)
  writer.u8(configurationVersion)
  writeIds(writer, configuration.voters)
  writeIds(writer, configuration.outgoing)
  writeIds(writer, configuration.learners)
  writer.sized(configuration.context)
  return writer.copy()
}

/**
 * Reads the payload of a configuration entry.
 * Errors: `format-unsupported` for a newer version, `frame-malformed` for anything else that cannot be.
 */
export function decodeConfiguration(payload: Uint8Array): Configuration {
  const reader = new ByteReader(payload)
  const version = reader.u8()
  if (version !== configurationVersion) {
    throw new QuorateError('format-unsupported', `a configuration entry has version ${version}`)
  }
  const voters = readIds(reader)
  const outgoing = readIds(reader)
  const learners = readIds(reader)
  const context = reader.sized().slice()
  reader.finish('a configuration entry')
  if (voters.length === 0) throw new QuorateError('frame-malformed', 'a configuration has no voter')
  return { voters, outgoing, learners, context }
}

/** The configuration that starts `change` from `current`: joint exactly when the voters change. */
export function nextConfiguration(current: Configuration, change: ConfigurationChange): Configuration {
  assert(!isJoint(current), 'a joint change ends before the next begins')
  const voters = ascending(change.voters)
  const learners = ascending(change.learners)
  assert(voters.length > 0, 'a configuration has at least one voter')
  assert(!voters.includes(noNode) && !learners.includes(noNode), 'id 0 is no node')
  assert(!learners.some((id) => voters.includes(id)), 'a node is a voter or a learner, not both')
  const outgoing = sameIds(voters, current.voters) ? [] : current.voters
  return { voters, outgoing, learners, context: change.context }
}

/** The end of a joint change: only the new voters count. */
export function leaveJoint(configuration: Configuration): Configuration {
  assert(isJoint(configuration), 'only a joint configuration can be left')
  return { ...configuration, outgoing: [] }
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoing.length > 0
}

export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return configuration.voters.includes(id) || configuration.outgoing.includes(id)
}

/** Whether `id` alone is a majority of everything that counts. */
export function isSoleVoter(configuration: Configuration, id: NodeId): boolean {
  return !isJoint(configuration) && configuration.voters.length === 1 && configuration.voters[0] === id
}

/** All nodes of the configuration, each once, ascending: one order everywhere. */
export function membersOf(configuration: Configuration): NodeId[] {
  const { voters, outgoing, learners } = configuration
  return [...new Set([...voters, ...outgoing, ...learners])].sort(compareIds)
}

/** Everybody who has a vote, each once, ascending. */
export function votersOf(configuration: Configuration): NodeId[] {
  return [...new Set([...configuration.voters, ...configuration.outgoing])].sort(compareIds)
}

/** A configuration and the index of the entry that brought it about. */
export interface PlacedConfiguration {
  readonly index: number
  readonly configuration: Configuration
}

/**
 * The configurations of the log, oldest first. The last one counts from the moment its entry is appended; cutting
 * the entry brings back the one before.
 */
export class ConfigurationHistory {
  #placed: PlacedConfiguration[]

  constructor(placed: readonly PlacedConfiguration[]) {
    assert(placed.length > 0, 'there is a configuration at the base of the log')
    assert(
      placed.every((one, i) => i === 0 || one.index > present(placed[i - 1], 'before').index),
      'configurations are restored oldest first',
    )
    this.#placed = [...placed]
  }

  get current(): Configuration {
    return this.#last.configuration
  }

  /** Index of the entry that brought the current one about. */
  get index(): number {
    return this.#last.index
  }

  get placed(): readonly PlacedConfiguration[] {
    return this.#placed
  }

  get #last(): PlacedConfiguration {
    return present(this.#placed.at(-1), 'there is always a configuration')
  }

  /**
   * Whether `id` may campaign: it is a voter of the current configuration or of one that may still come back. A node
   * that leaves is needed until its leaving is committed: it can hold the only log that is complete enough to win.
   */
  mayCampaign(id: NodeId, commitIndex: number): boolean {
    for (let i = this.#placed.length - 1; i >= 0; i--) {
      const placed = present(this.#placed[i], 'the configuration is there')
      if (isVoter(placed.configuration, id)) return true
      if (placed.index <= commitIndex) return false
    }
    return false
  }

  /** Of those at or below `commitIndex` only the newest can ever come back: the others are forgotten. */
  append(index: number, configuration: Configuration, commitIndex: number): void {
    assert(index > this.index, 'a configuration follows the one before')
    this.#placed.push({ index, configuration })
    while ((this.#placed[1]?.index ?? Number.POSITIVE_INFINITY) <= commitIndex) this.#placed.shift()
  }

  truncateAfter(index: number): void {
    while (this.index > index) {
      assert(this.#placed.length > 1, 'a committed configuration is never cut')
      this.#placed.pop()
    }
  }

  reset(index: number, configuration: Configuration): void {
    assert(configuration.voters.length > 0, 'a configuration has at least one voter')
    this.#placed = [{ index, configuration }]
  }
}

function ascending(ids: readonly NodeId[]): NodeId[] {
  const sorted = [...new Set(ids)].sort(compareIds)
  assert(sorted.length === ids.length, 'a node is named once')
  return sorted
}

function sameIds(left: readonly NodeId[], right: readonly NodeId[]): boolean {
  return left.length === right.length && left.every((id) => right.includes(id))
}

function writeIds(writer: ByteWriter, ids: readonly NodeId[]): void {
  writer.varint(ids.length)
  for (const id of ids) writer.u64(id)
}

function readIds(reader: ByteReader): NodeId[] {
  const count = reader.varint()
  const ids: NodeId[] = []
  for (let i = 0; i < count; i++) ids.push(reader.u64())
  return ids
}
