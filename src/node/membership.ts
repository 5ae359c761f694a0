import { ByteReader, ByteWriter, formatId, type NodeId, QuorateError } from '../base/index.ts'
import type { PeerProgress } from '../raft/index.ts'
import { type Directory, type MemberRecord, memberIdOf, withMember, withoutMember } from './members.ts'
import { readTexts, writeTexts } from './wire-fields.ts'

/** A change of the member list, as it travels from the node that was asked to the leader. */
export type MembershipRequest =
  | {
      readonly kind: 'add'
      readonly peerUrls: readonly string[]
      readonly isLearner: boolean
      readonly salt: string
    }
  | { readonly kind: 'remove'; readonly id: NodeId }
  | { readonly kind: 'update'; readonly id: NodeId; readonly peerUrls: readonly string[] }
  | { readonly kind: 'promote'; readonly id: NodeId }
  | ({ readonly kind: 'publish'; readonly id: NodeId } & PublishedFacts)

/** What a member reports of itself when it has started. */
export interface PublishedFacts {
  readonly name: string
  readonly clientUrls: readonly string[]
  readonly directoryId: bigint
  readonly commandVersion: number
}

/** What the leader knows when it judges a change. */
export interface MembershipView {
  readonly leader: NodeId
  readonly lastIndex: number
  readonly progress: ReadonlyMap<NodeId, PeerProgress>
  /** A peer that was silent for more ticks than this does not count as started. */
  readonly silentTicksMax: number
  readonly learnersMax: number
}

/** A learner is ready to vote when it has this share of the leader's log. */
const readyShare = 0.9

/** The member list after the change, or the same object when it is already so. Throws the membership codes. */
export function changeDirectory(
  directory: Directory,
  request: MembershipRequest,
  view: MembershipView,
): Directory {
  return withRaisedVersion(changeMember(directory, request, view))
}

/**
 * The cluster version follows the oldest member upwards, once every member has reported; it never falls. Whoever leaves
 * counts still: it takes part until its removal is committed, and may lead.
 */
function withRaisedVersion(directory: Directory): Directory {
  const { members, leaving } = directory
  const lowest = Math.min(...[...members, ...leaving].map(({ commandVersion }) => commandVersion))
  return lowest > directory.clusterVersion ? { ...directory, clusterVersion: lowest } : directory
}

function changeMember(directory: Directory, request: MembershipRequest, view: MembershipView): Directory {
  switch (request.kind) {
    case 'add':
      return addMember(directory, request, view)
    case 'remove':
      return removeMember(directory, request.id, view)
    case 'update':
      return updateMember(directory, request.id, request.peerUrls)
    case 'promote':
      return promoteMember(directory, request.id, view)
    case 'publish':
      return publishMember(directory, request)
  }
}

/** Whether `directory` shows the outcome of `request`: the change is over. */
export function isChanged(directory: Directory, request: MembershipRequest): boolean {
  switch (request.kind) {
    case 'add':
      return find(directory, memberIdOf(request.peerUrls, request.salt)) !== undefined
    case 'remove':
      return find(directory, request.id) === undefined
    case 'update':
      return equalTexts(find(directory, request.id)?.peerUrls ?? [], request.peerUrls)
    case 'promote':
      return find(directory, request.id)?.isLearner === false
    case 'publish': {
      const member = find(directory, request.id)
      return member !== undefined && isPublished(member, request)
    }
  }
}

/** The learner that was added as a voter and has caught up, if there is one. */
export function readyToPromote(directory: Directory, view: MembershipView): NodeId | undefined {
  return directory.members.find(
    (member) => member.isLearner && member.promoteWhenReady && isCaughtUp(member.id, view),
  )?.id
}

export function find(directory: Directory, id: NodeId): MemberRecord | undefined {
  return directory.members.find((member) => member.id === id)
}

/** A member, or one that leaves and is still needed for it. */
export function findPeer(directory: Directory, id: NodeId): MemberRecord | undefined {
  return find(directory, id) ?? directory.leaving.find((member) => member.id === id)
}

export function findByUrls(directory: Directory, peerUrls: readonly string[]): MemberRecord | undefined {
  return directory.members.find((member) => member.peerUrls.some((url) => peerUrls.includes(url)))
}

function addMember(
  directory: Directory,
  request: { peerUrls: readonly string[]; isLearner: boolean; salt: string },
  view: MembershipView,
): Directory {
  checkUrls(request.peerUrls)
  const holder = findByUrls(directory, request.peerUrls)
  if (holder !== undefined) {
    const text = `member ${formatId(holder.id)} already has one of the peer URLs ${request.peerUrls.join(',')}`
    throw new QuorateError('peer-url-exists', text)
  }
  const id = memberIdOf(request.peerUrls, request.salt)
  if (find(directory, id) !== undefined || directory.removed.includes(id)) {
    throw new QuorateError('member-exists', `member id ${formatId(id)} was used before`)
  }
  if (request.isLearner) {
    const learners = directory.members.filter((member) => member.isLearner && !member.promoteWhenReady)
    if (learners.length >= view.learnersMax) {
      throw new QuorateError(
        'too-many-learners',
        `there are ${learners.length} learners, the limit is ${view.learnersMax}`,
      )
    }
  } else requireStartedMajority(directory, view, { joining: 1, leaving: undefined })
  return withMember(directory, {
    id,
    directoryId: 0n,
    name: '',
    peerUrls: [...request.peerUrls],
    clientUrls: [],
    commandVersion: 0,
    // Never a voter before it has the log: it would count for a majority that it cannot yet be part of.
    isLearner: true,
    promoteWhenReady: !request.isLearner,
  })
}

function removeMember(directory: Directory, id: NodeId, view: MembershipView): Directory {
  const member = required(directory, id)
  if (!member.isLearner) requireStartedMajority(directory, view, { joining: 0, leaving: id })
  return withoutMember(directory, id)
}

function updateMember(directory: Directory, id: NodeId, peerUrls: readonly string[]): Directory {
  checkUrls(peerUrls)
  const member = required(directory, id)
  const holder = directory.members.find(
    (other) => other.id !== id && other.peerUrls.some((url) => peerUrls.includes(url)),
  )
  if (holder !== undefined) {
    throw new QuorateError(
      'peer-url-exists',
      `member ${formatId(holder.id)} already has one of these peer URLs`,
    )
  }
  return equalTexts(member.peerUrls, peerUrls)
    ? directory
    : withMember(directory, { ...member, peerUrls: [...peerUrls] })
}

function promoteMember(directory: Directory, id: NodeId, view: MembershipView): Directory {
  const member = required(directory, id)
  if (!member.isLearner) {
    throw new QuorateError('member-not-learner', `member ${formatId(id)} is no learner`)
  }
  if (!isCaughtUp(id, view)) {
    const match = view.progress.get(id)?.match ?? 0
    const text = `learner ${formatId(id)} has the log up to ${match} of ${view.lastIndex}`
    throw new QuorateError('learner-not-ready', text)
  }
  return withMember(directory, { ...member, isLearner: false, promoteWhenReady: false })
}

function publishMember(directory: Directory, request: PublishedFacts & { id: NodeId }): Directory {
  const member = required(directory, request.id)
  if (member.directoryId !== 0n && member.directoryId !== request.directoryId) {
    const text = `member ${formatId(request.id)} reports another data directory than the one it had`
    throw new QuorateError('data-wiped', text)
  }
  if (isPublished(member, request)) return directory
  const { name, clientUrls, directoryId, commandVersion } = request
  return withMember(directory, { ...member, name, clientUrls: [...clientUrls], directoryId, commandVersion })
}

function isPublished(member: MemberRecord, request: PublishedFacts): boolean {
  return (
    member.name === request.name &&
    member.commandVersion === request.commandVersion &&
    member.directoryId === request.directoryId &&
    equalTexts(member.clientUrls, request.clientUrls)
  )
}

/** A change must not leave a majority that can only be had with members that do not run. */
function requireStartedMajority(
  directory: Directory,
  view: MembershipView,
  change: { joining: number; leaving: NodeId | undefined },
): void {
  const voters = directory.members.filter((member) => !member.isLearner && member.id !== change.leaving)
  const started = voters.filter((member) => isStarted(member.id, view)).length
  const size = voters.length + change.joining
  const needed = Math.floor(size / 2) + 1
  if (size > 0 && started < Math.min(needed, voters.length)) {
    const text = `only ${started} of ${voters.length} remaining voters are reachable, ${needed} would be needed`
    throw new QuorateError('not-enough-started-members', text)
  }
  if (size === 0) throw new QuorateError('not-enough-started-members', 'the last voter cannot be removed')
}

function isStarted(id: NodeId, view: MembershipView): boolean {
  if (id === view.leader) return true
  const progress = view.progress.get(id)
  return progress !== undefined && progress.silentTicks <= view.silentTicksMax
}

function isCaughtUp(id: NodeId, view: MembershipView): boolean {
  const progress = view.progress.get(id)
  return (
    progress !== undefined &&
    isStarted(id, view) &&
    progress.match > 0 &&
    progress.match >= readyShare * view.lastIndex
  )
}

function required(directory: Directory, id: NodeId): MemberRecord {
  const member = find(directory, id)
  if (member === undefined) throw new QuorateError('member-not-found', `there is no member ${formatId(id)}`)
  return member
}

function checkUrls(urls: readonly string[]): void {
  if (urls.length === 0) throw new QuorateError('member-urls-invalid', 'a member needs at least one peer URL')
  for (const url of urls) {
    if (!/^http:\/\/[^/\s:]+:\d{1,5}$/.test(url) && !/^http:\/\/\[[0-9a-fA-F:]+\]:\d{1,5}$/.test(url)) {
      throw new QuorateError('member-urls-invalid', `"${url}" is no peer URL of the form http://host:port`)
    }
  }
}

function equalTexts(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, i) => text === right[i])
}

const operations = ['add', 'remove', 'update', 'promote', 'publish'] as const

export function encodeMembershipRequest(request: MembershipRequest): Uint8Array {
  const writer = new ByteWriter()
  writer.u8(operations.indexOf(request.kind))
  if (request.kind === 'add') {
    writer.u8(request.isLearner ? 1 : 0)
    writeTexts(writer, [request.salt])
    writeTexts(writer, request.peerUrls)
    return writer.copy()
  }
  writer.u64(request.id)
  if (request.kind === 'update') writeTexts(writer, request.peerUrls)
  if (request.kind === 'publish') {
    writer.u64(request.directoryId)
    writer.u16(request.commandVersion)
    writeTexts(writer, [request.name])
    writeTexts(writer, request.clientUrls)
  }
  return writer.copy()
}

export function decodeMembershipRequest(bytes: Uint8Array): MembershipRequest {
  const reader = new ByteReader(bytes)
  const kind = operations[reader.u8()]
  switch (kind) {
    case 'add': {
      const isLearner = reader.u8() !== 0
      const [salt = ''] = readTexts(reader)
      return { kind, isLearner, salt, peerUrls: readTexts(reader) }
    }
    case 'remove':
    case 'promote':
      return { kind, id: reader.u64() }
    case 'update':
      return { kind, id: reader.u64(), peerUrls: readTexts(reader) }
    case 'publish': {
      const id = reader.u64()
      const directoryId = reader.u64()
      const commandVersion = reader.u16()
      const [name = ''] = readTexts(reader)
      return { kind, id, directoryId, commandVersion, name, clientUrls: readTexts(reader) }
    }
    default:
      throw new QuorateError('frame-malformed', 'a membership request has an unknown kind')
  }
}

/** The leader's answer to a request: the end of its log, in which the change now is. */
export function encodeChangeAnswer(lastIndex: number): Uint8Array {
  const writer = new ByteWriter()
  writer.varint(lastIndex)
  return writer.copy()
}

export function decodeChangeAnswer(bytes: Uint8Array): number {
  const reader = new ByteReader(bytes)
  const lastIndex = reader.varint()
  reader.finish('an answer to a membership request')
  return lastIndex
}
