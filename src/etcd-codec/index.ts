/**
 * etcd-codec: the messages of the etcd v3 API as plain values, read from and written to protobuf bytes. Used by the
 * door (decode requests, encode answers) and by a client (the other way round).
 *
 * Words: a _count_ is an int64 that grows by one and is a number here; an _id_ is opaque and a bigint; a _choice_ is
 * a message of which exactly one member is set, a union by `kind` here ('none' when no member came).
 *
 * 1. Decoding never fails otherwise than with `frame-malformed`, never reads outside of its bytes, and what it
 *    allocates is bounded by the size of the input.
 * 2. Unknown fields are skipped; a known field with a wrong wire type, a group, text that is not UTF-8 and messages
 *    nested deeper than 512 are refused.
 * 3. Of a field that comes twice the last counts, also of embedded messages (they are not merged), and the last
 *    member of a oneof. An unknown enumeration value stays the number it was.
 * 4. Counts beyond +-(2^53 - 1) are taken as that bound. No revision, limit or TTL gets there, so comparing with
 *    them gives the same answer as with the 64-bit number; a client that sends 2^63 - 1 for "no bound" is common.
 * 5. Decoded byte fields are views on the input, encoded messages views on a slab nobody writes again: whoever
 *    keeps one for long copies it.
 *
 * The files but reader, writer, enumerations and range-answer are made from messages.txt by testing/generate-etcd-codec.ts;
 * a test says when they are behind.
 *
 * Sources: the protocol buffers encoding specification; field numbers of etcd's rpc.proto and kv.proto (3.6).
 * Left out: requests and answers of the Auth, Lock and Election services but AuthStatus (the door answers them
 * without looking inside), RangeStream (3.7).
 */

export { type AuthStatusResponse, decodeAuthStatusResponse, encodeAuthStatusResponse } from './auth.ts'
export {
  decodeMemberAddRequest,
  decodeMemberAddResponse,
  decodeMemberIdRequest,
  decodeMemberListRequest,
  decodeMembersResponse,
  decodeMemberUpdateRequest,
  encodeMemberAddRequest,
  encodeMemberAddResponse,
  encodeMemberIdRequest,
  encodeMemberListRequest,
  encodeMembersResponse,
  encodeMemberUpdateRequest,
  type Member,
  type MemberAddRequest,
  type MemberAddResponse,
  type MemberIdRequest,
  type MemberListRequest,
  type MembersResponse,
  type MemberUpdateRequest,
} from './cluster.ts'
export {
  decodeHeaderResponse,
  encodeHeaderResponse,
  type HeaderResponse,
  type KeyValue,
  type ResponseHeader,
} from './common.ts'
export {
  alarmAction,
  alarmType,
  compareResult,
  compareTarget,
  downgradeAction,
  eventType,
  sortOrder,
  sortTarget,
  watchFilter,
} from './enumerations.ts'
export {
  type CompactionRequest,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  decodeCompactionRequest,
  decodeDeleteRangeRequest,
  decodeDeleteRangeResponse,
  decodePutRequest,
  decodePutResponse,
  decodeRangeRequest,
  decodeRangeResponse,
  encodeCompactionRequest,
  encodeDeleteRangeRequest,
  encodeDeleteRangeResponse,
  encodePutRequest,
  encodePutResponse,
  encodeRangeRequest,
  encodeRangeResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
} from './kv.ts'
export {
  decodeLeaseGrantRequest,
  decodeLeaseGrantResponse,
  decodeLeaseIdRequest,
  decodeLeaseKeepAliveResponse,
  decodeLeaseLeasesResponse,
  decodeLeaseTimeToLiveRequest,
  decodeLeaseTimeToLiveResponse,
  encodeLeaseGrantRequest,
  encodeLeaseGrantResponse,
  encodeLeaseIdRequest,
  encodeLeaseKeepAliveResponse,
  encodeLeaseLeasesResponse,
  encodeLeaseTimeToLiveRequest,
  encodeLeaseTimeToLiveResponse,
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseIdRequest,
  type LeaseKeepAliveResponse,
  type LeaseLeasesResponse,
  type LeaseStatus,
  type LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
} from './lease.ts'
export {
  type AlarmMember,
  type AlarmRequest,
  type AlarmResponse,
  type DowngradeInfo,
  type DowngradeRequest,
  type DowngradeResponse,
  decodeAlarmRequest,
  decodeAlarmResponse,
  decodeDowngradeRequest,
  decodeDowngradeResponse,
  decodeHashKVRequest,
  decodeHashKVResponse,
  decodeHashResponse,
  decodeMoveLeaderRequest,
  decodeSnapshotResponse,
  decodeStatusResponse,
  encodeAlarmRequest,
  encodeAlarmResponse,
  encodeDowngradeRequest,
  encodeDowngradeResponse,
  encodeHashKVRequest,
  encodeHashKVResponse,
  encodeHashResponse,
  encodeMoveLeaderRequest,
  encodeSnapshotResponse,
  encodeStatusResponse,
  type HashKVRequest,
  type HashKVResponse,
  type HashResponse,
  type MoveLeaderRequest,
  type SnapshotResponse,
  type StatusResponse,
} from './maintenance.ts'
export { RangeAnswer } from './range-answer.ts'
export {
  type Compare,
  decodeTxnRequest,
  decodeTxnResponse,
  encodeTxnRequest,
  encodeTxnResponse,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
} from './txn.ts'
export {
  decodeWatchCancelRequest,
  decodeWatchCreateRequest,
  decodeWatchProgressRequest,
  decodeWatchRequest,
  decodeWatchResponse,
  type Event,
  encodeWatchCancelRequest,
  encodeWatchCreateRequest,
  encodeWatchProgressRequest,
  encodeWatchRequest,
  encodeWatchResponse,
  type WatchCancelRequest,
  type WatchCreateRequest,
  type WatchProgressRequest,
  type WatchRequest,
  type WatchResponse,
} from './watch.ts'
