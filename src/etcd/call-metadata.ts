import { QuorateError } from '../base/index.ts'
import type { SessionStamp } from '../consistent-core/index.ts'
import type { CallMetadata } from '../grpc/index.ts'

/**
 * What a call says beside its message, as gRPC metadata (names are lower case, numbers decimal):
 *
 *   quorate-session         lease id of the client's session
 *   quorate-request         number of this request in the session, from 1
 *   quorate-answered-below  the client has the answers of all requests below this number
 *   quorate-min-revision    answer a read not before this member has applied that revision
 *   hasleader: true         etcd's own: refuse, and end streams, while this member knows no leader
 */
export function sessionOf(metadata: CallMetadata): SessionStamp | undefined {
  const session = metadata.get('quorate-session')
  if (session === undefined) return undefined
  if (!/^-?\d{1,19}$/.test(session)) throw notDecimal('quorate-session')
  const request = counterOf(metadata, 'quorate-request')
  if (request === undefined || request === 0) {
    throw new QuorateError('invalid-argument', 'quorate-session comes with quorate-request, counted from 1')
  }
  const answeredBelow = counterOf(metadata, 'quorate-answered-below') ?? 0
  return { session: BigInt.asUintN(64, BigInt(session)), request, answeredBelow }
}

/** 0 when not asked for. */
export function minRevisionOf(metadata: CallMetadata): number {
  return counterOf(metadata, 'quorate-min-revision') ?? 0
}

export function requiresLeader(metadata: CallMetadata): boolean {
  return metadata.get('hasleader') === 'true'
}

function counterOf(metadata: CallMetadata, name: string): number | undefined {
  const text = metadata.get(name)
  if (text === undefined) return undefined
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw notDecimal(name)
  return value
}

function notDecimal(name: string): QuorateError {
  return new QuorateError('invalid-argument', `metadata ${name} is not a decimal number in its range`)
}
