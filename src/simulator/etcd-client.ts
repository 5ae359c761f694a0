import { latin1FromBytes } from '../base/index.ts'
import {
  alarmAction,
  alarmType,
  decodeAlarmResponse,
  decodeDeleteRangeResponse,
  decodeHashKVResponse,
  decodeHeaderResponse,
  decodeLeaseGrantResponse,
  decodeLeaseKeepAliveResponse,
  decodeLeaseLeasesResponse,
  decodeLeaseTimeToLiveResponse,
  decodeMemberAddResponse,
  decodeMembersResponse,
  decodePutResponse,
  decodeRangeResponse,
  decodeStatusResponse,
  decodeTxnResponse,
  decodeWatchResponse,
  encodeAlarmRequest,
  encodeCompactionRequest,
  encodeDeleteRangeRequest,
  encodeHashKVRequest,
  encodeLeaseGrantRequest,
  encodeLeaseIdRequest,
  encodeLeaseTimeToLiveRequest,
  encodeMemberAddRequest,
  encodeMemberIdRequest,
  encodeMemberListRequest,
  encodeMemberUpdateRequest,
  encodeMoveLeaderRequest,
  encodePutRequest,
  encodeRangeRequest,
  encodeTxnRequest,
  encodeWatchRequest,
  type WatchRequest,
} from '../etcd-codec/index.ts'
import { GrpcError, type GrpcServices, type Metadata, noMetadata } from '../grpc/index.ts'
import { callUnary, endingText, OpenStream } from './door.ts'
import {
  deleteMessage,
  deleteResult,
  listed,
  putMessage,
  putResult,
  rangeMessage,
  rangeResult,
  transactionMessage,
  transactionResult,
  urlOf,
  watchCreateMessage,
  watchMessageOf,
} from './messages.ts'
import { refusalOf } from './refusals.ts'
import {
  type CallTerms,
  type KeepAliveListener,
  type MembersRequest,
  type ServerAnswer,
  type ServerKeepAliveStream,
  ServerRefusal,
  type ServerRequest,
  type ServerWatchStream,
  type WatchListener,
} from './server-seam.ts'

type KeyValueCall = Extract<ServerRequest, { kind: 'keyValue' }>

/** One unary call: how it is asked and what its answer says. */
interface Exchange {
  readonly path: string
  readonly kind: 'read' | 'write'
  readonly message: Uint8Array
  readonly metadata?: Metadata
  readonly answer: (bytes: Uint8Array) => ServerAnswer
}

/**
 * A client of the etcd API at one server: encodes what it is asked, calls the services, decodes what they say. What
 * comes back is what a program on the other side of a connection would know.
 */
export class EtcdClient {
  readonly #services: GrpcServices
  readonly #later: (callback: () => void) => void

  constructor(services: GrpcServices, later: (callback: () => void) => void) {
    this.#services = services
    this.#later = later
  }

  async execute(request: ServerRequest, terms: CallTerms): Promise<ServerAnswer> {
    if (request.kind === 'leaseRenew') return this.#renew(request.id, terms)
    const { path, kind, message, metadata = noMetadata, answer } = exchangeOf(request)
    try {
      return answer(await callUnary(this.#services, path, message, metadata, terms))
    } catch (error) {
      throw error instanceof GrpcError ? refusalOf(error, kind) : error
    }
  }

  openWatches(listener: WatchListener): ServerWatchStream {
    /** Asked for and not answered, in the order of the answers: a refusal does not say whom it refuses. */
    const asked: number[] = []
    const stream = this.#open('/etcdserverpb.Watch/Watch', {
      onMessage: (bytes) => {
        const response = decodeWatchResponse(bytes)
        const { watchId, created, canceled } = response
        const wanted = created ? asked.shift() : watchId
        if (created && canceled) {
          listener.onMessage(wanted ?? -1, { kind: 'ended', reason: response.cancelReason })
        } else if (wanted === undefined || wanted !== watchId) {
          listener.onEnd(`watch ${wanted} was answered as ${watchId}`)
        } else listener.onMessage(watchId, watchMessageOf(response))
      },
      onEnd: (error) => listener.onEnd(endingText(error)),
    })
    const write = (request: WatchRequest): void => stream.write(encodeWatchRequest(request))
    return {
      create: (watchId, request) => {
        asked.push(watchId)
        write({ kind: 'createRequest', createRequest: watchCreateMessage(watchId, request) })
      },
      cancel: (watchId) => write({ kind: 'cancelRequest', cancelRequest: { watchId } }),
      requestProgress: () => write({ kind: 'progressRequest', progressRequest: {} }),
      setReading: (isReading) => stream.setReading(isReading),
      close: () => stream.cancel(),
    }
  }

  openKeepAlive(listener: KeepAliveListener): ServerKeepAliveStream {
    const stream = this.#open('/etcdserverpb.Lease/LeaseKeepAlive', {
      onMessage: (bytes) => {
        const { id, ttl } = decodeLeaseKeepAliveResponse(bytes)
        listener.onRenewed(id, ttl)
      },
      onEnd: (error) => listener.onEnd(endingText(error)),
    })
    return {
      renew: (id) => stream.write(encodeLeaseIdRequest({ id })),
      close: () => stream.cancel(),
    }
  }

  /** On a stream of its own, which the client closes behind its only message. */
  #renew(id: bigint, terms: CallTerms): Promise<ServerAnswer> {
    return new Promise((resolve, reject) => {
      const stream = new OpenStream(
        this.#services,
        '/etcdserverpb.Lease/LeaseKeepAlive',
        {
          onMessage: (bytes) => {
            const { header, ttl } = decodeLeaseKeepAliveResponse(bytes)
            const revision = header?.revision ?? 0
            if (ttl === 0) reject(new ServerRefusal('lease-not-found', 'none', 'renewed for no time'))
            else
              resolve({
                revision,
                result: undefined,
                lease: { ttlSeconds: ttl, grantedSeconds: 0, keys: [] },
              })
          },
          onEnd: (error) => {
            const refusal = error === undefined ? undefined : refusalOf(error, 'read')
            reject(refusal ?? new ServerRefusal('stream-ended', 'unknown', 'without an answer'))
          },
        },
        this.#later,
        terms.timeoutMs,
      )
      terms.onCancel(() => stream.cancel())
      stream.write(encodeLeaseIdRequest({ id }))
      stream.halfClose()
    })
  }

  /** What the server says inside a call of the client reaches the client afterwards. */
  #open(path: string, client: ConstructorParameters<typeof OpenStream>[2]): OpenStream {
    return new OpenStream(this.#services, path, client, this.#later)
  }
}

const unchanged = (revision: number): ServerAnswer => ({ revision, result: undefined })
const headerOnly = (bytes: Uint8Array): ServerAnswer =>
  unchanged(decodeHeaderResponse(bytes).header?.revision ?? 0)

function exchangeOf(request: Exclude<ServerRequest, { kind: 'leaseRenew' }>): Exchange {
  switch (request.kind) {
    case 'keyValue':
      return keyValueExchange(request)
    case 'compact': {
      const { revision, isPhysical = false } = request
      const message = encodeCompactionRequest({ revision, physical: isPhysical })
      return { path: '/etcdserverpb.KV/Compact', kind: 'write', message, answer: headerOnly }
    }
    case 'leaseGrant':
    case 'leaseRevoke':
    case 'leaseTimeToLive':
    case 'leaseList':
      return leaseExchange(request)
    case 'hash':
    case 'status':
    case 'alarms':
    case 'defragment':
      return maintenanceExchange(request)
    default:
      return membersExchange(request)
  }
}

function keyValueExchange(call: KeyValueCall): Exchange {
  const { request } = call
  const service = '/etcdserverpb.KV'
  const metadata = metadataOf(call)
  switch (request.kind) {
    case 'range': {
      const message = encodeRangeRequest(rangeMessage(request, call))
      const answer = (bytes: Uint8Array): ServerAnswer => {
        const response = decodeRangeResponse(bytes)
        return { revision: response.header?.revision ?? 0, result: rangeResult(response) }
      }
      return { path: `${service}/Range`, kind: 'read', message, metadata, answer }
    }
    case 'put': {
      const message = encodePutRequest(putMessage(request))
      const answer = (bytes: Uint8Array): ServerAnswer => {
        const response = decodePutResponse(bytes)
        return { revision: response.header?.revision ?? 0, result: putResult(response) }
      }
      return { path: `${service}/Put`, kind: 'write', message, metadata, answer }
    }
    case 'delete': {
      const message = encodeDeleteRangeRequest(deleteMessage(request))
      const answer = (bytes: Uint8Array): ServerAnswer => {
        const response = decodeDeleteRangeResponse(bytes)
        return { revision: response.header?.revision ?? 0, result: deleteResult(response) }
      }
      return { path: `${service}/DeleteRange`, kind: 'write', message, metadata, answer }
    }
    case 'transaction': {
      // A range in a transaction is of its own revision.
      const terms = { isSerializable: call.isSerializable, atRevision: 0 }
      const message = encodeTxnRequest(transactionMessage(request, terms))
      const answer = (bytes: Uint8Array): ServerAnswer => {
        const response = decodeTxnResponse(bytes)
        return { revision: response.header?.revision ?? 0, result: transactionResult(response) }
      }
      return { path: `${service}/Txn`, kind: 'write', message, metadata, answer }
    }
  }
}

function metadataOf({ stamp, leastRevision = 0 }: KeyValueCall): Metadata {
  if (stamp === undefined && leastRevision === 0) return noMetadata
  const metadata = new Map<string, string>()
  if (leastRevision > 0) metadata.set('quorate-min-revision', `${leastRevision}`)
  if (stamp !== undefined) {
    metadata.set('quorate-session', `${stamp.session}`)
    metadata.set('quorate-request', `${stamp.request}`)
    metadata.set('quorate-answered-below', `${stamp.answeredBelow}`)
  }
  return metadata
}

function leaseExchange(
  request: Extract<ServerRequest, { kind: 'leaseGrant' | 'leaseRevoke' | 'leaseTimeToLive' | 'leaseList' }>,
): Exchange {
  const service = '/etcdserverpb.Lease'
  switch (request.kind) {
    case 'leaseGrant': {
      const message = encodeLeaseGrantRequest({ id: request.id, ttl: request.ttlSeconds })
      const answer = (bytes: Uint8Array): ServerAnswer => {
        const { header, ttl } = decodeLeaseGrantResponse(bytes)
        const lease = { ttlSeconds: ttl, grantedSeconds: ttl, keys: [] }
        return { ...unchanged(header?.revision ?? 0), lease }
      }
      return { path: `${service}/LeaseGrant`, kind: 'write', message, answer }
    }
    case 'leaseRevoke': {
      const message = encodeLeaseIdRequest({ id: request.id })
      return { path: `${service}/LeaseRevoke`, kind: 'write', message, answer: headerOnly }
    }
    case 'leaseTimeToLive': {
      const message = encodeLeaseTimeToLiveRequest({ id: request.id, keys: true })
      const answer = (bytes: Uint8Array): ServerAnswer => {
        const { header, ttl, grantedTtl, keys } = decodeLeaseTimeToLiveResponse(bytes)
        const lease = { ttlSeconds: ttl, grantedSeconds: grantedTtl, keys: keys.map(latin1FromBytes) }
        return { ...unchanged(header?.revision ?? 0), lease }
      }
      return { path: `${service}/LeaseTimeToLive`, kind: 'read', message, answer }
    }
    case 'leaseList': {
      const answer = (bytes: Uint8Array): ServerAnswer => {
        const { header, leases } = decodeLeaseLeasesResponse(bytes)
        return { ...unchanged(header?.revision ?? 0), leases: leases.map(({ id }) => id) }
      }
      return { path: `${service}/LeaseLeases`, kind: 'read', message: new Uint8Array(), answer }
    }
  }
}

function maintenanceExchange(
  request: Extract<ServerRequest, { kind: 'hash' | 'status' | 'alarms' | 'defragment' }>,
): Exchange {
  const service = '/etcdserverpb.Maintenance'
  const nothing = new Uint8Array()
  switch (request.kind) {
    case 'hash': {
      const message = encodeHashKVRequest({ revision: request.revision })
      const answer = (bytes: Uint8Array): ServerAnswer => {
        const { header, hash, hashRevision, compactRevision } = decodeHashKVResponse(bytes)
        return {
          ...unchanged(header?.revision ?? 0),
          hash: { hash, revision: hashRevision, compactRevision },
        }
      }
      return { path: `${service}/HashKV`, kind: 'read', message, answer }
    }
    case 'status': {
      const answer = (bytes: Uint8Array): ServerAnswer =>
        unchanged(decodeStatusResponse(bytes).header?.revision ?? 0)
      return { path: `${service}/Status`, kind: 'read', message: nothing, answer }
    }
    case 'alarms': {
      const message = encodeAlarmRequest({ action: alarmAction.get, memberId: 0n, alarm: alarmType.none })
      const answer = (bytes: Uint8Array): ServerAnswer =>
        unchanged(decodeAlarmResponse(bytes).header?.revision ?? 0)
      return { path: `${service}/Alarm`, kind: 'read', message, answer }
    }
    case 'defragment':
      return { path: `${service}/Defragment`, kind: 'read', message: nothing, answer: headerOnly }
  }
}

function membersExchange(request: MembersRequest): Exchange {
  const service = '/etcdserverpb.Cluster'
  const answer = (bytes: Uint8Array): ServerAnswer => {
    const { members } = decodeMembersResponse(bytes)
    return { ...unchanged(0), members: members.map(listed) }
  }
  switch (request.kind) {
    case 'memberList': {
      const message = encodeMemberListRequest({ linearizable: true })
      return { path: `${service}/MemberList`, kind: 'read', message, answer }
    }
    case 'memberAdd': {
      const { peer, isLearner } = request
      const message = encodeMemberAddRequest({ peerUrls: [urlOf(peer)], isLearner })
      const answerAdd = (bytes: Uint8Array): ServerAnswer => {
        const { member, members } = decodeMemberAddResponse(bytes)
        const list = { ...unchanged(0), members: members.map(listed) }
        return member === undefined ? list : { ...list, added: member.id }
      }
      return { path: `${service}/MemberAdd`, kind: 'write', message, answer: answerAdd }
    }
    case 'memberRemove': {
      const message = encodeMemberIdRequest({ id: request.id })
      return { path: `${service}/MemberRemove`, kind: 'write', message, answer }
    }
    case 'memberPromote': {
      const message = encodeMemberIdRequest({ id: request.id })
      return { path: `${service}/MemberPromote`, kind: 'write', message, answer }
    }
    case 'memberUpdate': {
      const message = encodeMemberUpdateRequest({ id: request.id, peerUrls: [urlOf(request.peer)] })
      return { path: `${service}/MemberUpdate`, kind: 'write', message, answer }
    }
    case 'transferLeadership': {
      const message = encodeMoveLeaderRequest({ targetId: request.to })
      return { path: '/etcdserverpb.Maintenance/MoveLeader', kind: 'write', message, answer: headerOnly }
    }
  }
}
