import { type NodeId, utf8Encode } from '../../base/index.ts'
import type { LogEnd, SnapshotMark } from '../../raft/index.ts'
import type { PeerMessage } from '../peer-codec.ts'

/** From whom to whom the messages go; on the wire the connection says it. */
export const route: { readonly from: NodeId; readonly to: NodeId } = { from: 7n, to: 9n }
export const end: LogEnd = { index: 12, term: 3, chain: 0xdeadbeef }
const mark: SnapshotMark = {
  end,
  configurationIndex: 5,
  configuration: { voters: [1n, 2n], outgoing: [3n], learners: [4n], context: utf8Encode('names') },
}

/** One message of every kind that peers send each other, with entries left out. */
export const peerMessages: readonly PeerMessage[] = [
  { kind: 'voteRequest', ...route, term: 4, pre: true, transfer: false, end },
  { kind: 'voteResponse', ...route, term: 4, pre: false, granted: true },
  { kind: 'appendRequest', ...route, term: 4, previous: end, commit: 11, entries: [] },
  { kind: 'appendResponse', ...route, term: 4, accepted: false, forget: true, index: 9, hint: end },
  { kind: 'heartbeat', ...route, term: 4, commit: 2 ** 40, round: 17, context: new Uint8Array([1]) },
  { kind: 'heartbeatResponse', ...route, term: 4, round: 17, context: new Uint8Array(0) },
  { kind: 'readIndexRequest', ...route, term: 4, request: 5 },
  { kind: 'readIndexResponse', ...route, term: 4, request: 5, index: 6 },
  { kind: 'timeoutNow', ...route, term: 4 },
  { kind: 'installSnapshot', ...route, term: 4, snapshot: mark },
  { kind: 'forward', high: 1, low: 0xffffffff, commands: [{ sequence: 3, command: utf8Encode('put') }] },
  { kind: 'forwardRefused', code: 'overloaded', sequences: [3, 4, 2 ** 50] },
  { kind: 'question', id: 8, audience: 'door', bytes: utf8Encode('ttl?') },
  { kind: 'answer', id: 8, code: 'lease-not-found', text: 'no such lease', bytes: new Uint8Array(0) },
  { kind: 'answer', id: 8, code: undefined, text: '', bytes: utf8Encode('42') },
  { kind: 'snapshotRequest', end, position: 65536, bytesMax: 65536 },
  { kind: 'snapshotPart', end, position: 65536, sizeBytes: 2 ** 33, bytes: utf8Encode('part') },
  { kind: 'snapshotGone', end },
  { kind: 'digest', index: 1024, digest: 2 ** 45 },
  { kind: 'stateRequest', leastIndex: 2 ** 40 },
  { kind: 'ping' },
  { kind: 'pong' },
]
