import {
  ByteReader,
  ByteWriter,
  type ClusterId,
  compareIds,
  type NodeId,
  QuorateError,
  utf8Encode,
} from '../base/index.ts'
import type { Configuration } from '../raft/index.ts'
import type { Member } from './contract.ts'
import { readText, readTexts, writeText, writeTexts } from './wire-fields.ts'

/**
 * The members of the cluster: names, addresses and roles beside raft's bare ids. They travel as the `context` of
 * raft configurations, so there is one replicated source of truth, in the log and in every snapshot.
 * Format: docs/formats/members.md.
 */
export interface MemberRecord extends Member {
  /** Drawn when the member's data directory was made; 0n until it first reported. An empty directory has another one. */
  readonly directoryId: bigint
  /** The newest command version that the member understands; 0 until it reported. */
  readonly commandVersion: number
}

export interface Directory {
  /** Sorted by id. */
  readonly members: readonly MemberRecord[]
  /**
   * Whom the last change took out. As long as that change is under way they have their vote in it, and so the others
   * have to find them.
   */
  readonly leaving: readonly MemberRecord[]
  /** Ids that were removed. They never come back: whoever had one may still believe in an old configuration. */
  readonly removed: readonly NodeId[]
  /** A command version that all members understand, and no newer one is proposed. It never falls. */
  readonly clusterVersion: number
}

const directoryVersion = 3
/** Version 1 lacks the command versions of the members, and versions 1 and 2 those who leave. */
const oldestDirectoryVersion = 1
const membersMax = 1024

export function encodeDirectory(directory: Directory): Uint8Array {
  const writer = new ByteWriter()
  writer.u8(directoryVersion)
  writer.u16(directory.clusterVersion)
  writeRecords(writer, directory.members)
  writer.varint(directory.removed.length)
  for (const id of directory.removed) writer.u64(id)
  writeRecords(writer, directory.leaving)
  return writer.copy()
}

export function decodeDirectory(context: Uint8Array): Directory {
  if (context.length === 0) return { members: [], leaving: [], removed: [], clusterVersion: 1 }
  const reader = new ByteReader(context)
  const version = reader.u8()
  if (version < oldestDirectoryVersion || version > directoryVersion) {
    throw new QuorateError(
      'format-unsupported',
      `the member list has version ${version}; this build knows ${oldestDirectoryVersion} to ${directoryVersion}`,
    )
  }
  const clusterVersion = reader.u16()
  const members = readRecords(reader, version)
  const removed: NodeId[] = []
  for (let count = boundedCount(reader); count > 0; count--) removed.push(reader.u64())
  const leaving = version < 3 ? [] : readRecords(reader, version)
  reader.finish('the member list')
  return { members, leaving, removed, clusterVersion }
}

/** The configuration in which exactly `directory` counts: learners learn, all others vote. */
export function configurationOf(directory: Directory): Configuration {
  const ids = (isLearner: boolean): NodeId[] =>
    directory.members.filter((member) => member.isLearner === isLearner).map((member) => member.id)
  return { voters: ids(false), outgoing: [], learners: ids(true), context: encodeDirectory(directory) }
}

/**
 * The directory as `configuration` has it: whom a change takes out is leaving until the change is over, and removed
 * from then on.
 */
export function directoryOf(configuration: Configuration): Directory {
  const directory = decodeDirectory(configuration.context)
  if (configuration.outgoing.length === 0) return { ...directory, leaving: [] }
  const removed = directory.removed.filter((id) => directory.leaving.every((member) => member.id !== id))
  return { ...directory, removed }
}

export function withMember(directory: Directory, member: MemberRecord): Directory {
  const others = directory.members.filter((other) => other.id !== member.id)
  const members = [...others, member].sort((left, right) => compareIds(left.id, right.id))
  return { ...directory, members, leaving: [] }
}

export function withoutMember(directory: Directory, id: NodeId): Directory {
  return {
    ...directory,
    members: directory.members.filter((member) => member.id !== id),
    leaving: directory.members.filter((member) => member.id === id),
    removed: [...directory.removed, id].slice(-membersMax),
  }
}

/**
 * What a door shows of the members, sorted by id. While a change is under way, the voters of before are needed as well:
 * so whom it takes out is still there, and whom it makes a voter is still on the way to it. Who can do without a member
 * by this list, can.
 */
export function publicMembers(configuration: Configuration): Member[] {
  const { members, leaving } = directoryOf(configuration)
  const { outgoing } = configuration
  const listed = [...members, ...leaving].sort((left, right) => compareIds(left.id, right.id))
  return listed.map((record) => {
    const { id, name, peerUrls, clientUrls } = record
    const isBecomingVoter = outgoing.length > 0 && !record.isLearner && !outgoing.includes(id)
    const isLearner = record.isLearner || isBecomingVoter
    const promoteWhenReady = record.promoteWhenReady || isBecomingVoter
    return { id, name, peerUrls, clientUrls, isLearner, promoteWhenReady }
  })
}

/** The same for whoever is given the same peer URLs and token, so independently started nodes agree on their ids. */
export function memberIdOf(peerUrls: readonly string[], token: string): NodeId {
  return hash64(`member\n${[...peerUrls].sort().join('\n')}\n${token}`)
}

export function clusterIdOf(memberIds: readonly NodeId[], token: string): ClusterId {
  return hash64(`cluster\n${[...memberIds].sort(compareIds).join('\n')}\n${token}`)
}

/** FNV-1a over UTF-8, 64 bits, finished by a mixer; never 0, which means "none". */
function hash64(text: string): bigint {
  let hash = 0xcbf29ce484222325n
  for (const byte of utf8Encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  hash ^= hash >> 33n
  hash = BigInt.asUintN(64, hash * 0xff51afd7ed558ccdn)
  hash ^= hash >> 33n
  return hash === 0n ? 1n : hash
}

function boundedCount(reader: ByteReader): number {
  const count = reader.varint()
  if (count > membersMax)
    throw new QuorateError('frame-malformed', `a member list of ${count} entries is over ${membersMax}`)
  return count
}

function writeRecords(writer: ByteWriter, records: readonly MemberRecord[]): void {
  writer.varint(records.length)
  for (const member of records) {
    writer.u64(member.id)
    writer.u64(member.directoryId)
    writer.u8((member.isLearner ? 1 : 0) | (member.promoteWhenReady ? 2 : 0))
    writer.u16(member.commandVersion)
    writeText(writer, member.name)
    writeTexts(writer, member.peerUrls)
    writeTexts(writer, member.clientUrls)
  }
}

function readRecords(reader: ByteReader, version: number): MemberRecord[] {
  const records: MemberRecord[] = []
  for (let count = boundedCount(reader); count > 0; count--) {
    const id = reader.u64()
    const directoryId = reader.u64()
    const flags = reader.u8()
    records.push({
      id,
      directoryId,
      isLearner: (flags & 1) !== 0,
      promoteWhenReady: (flags & 2) !== 0,
      commandVersion: version < 2 ? 0 : reader.u16(),
      name: readText(reader),
      peerUrls: readTexts(reader),
      clientUrls: readTexts(reader),
    })
  }
  return records
}
