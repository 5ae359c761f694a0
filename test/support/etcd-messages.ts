// The messages and methods of the etcd v3 API that the tests use, from the published protocol definition.
import { type Schema, schema } from './protobuf.ts'

const responseHeader = schema('ResponseHeader', {
  cluster_id: [1, 'uint64'],
  member_id: [2, 'uint64'],
  revision: [3, 'int64'],
  raft_term: [4, 'uint64'],
})
const keyValue = schema('KeyValue', {
  key: [1, 'bytes'],
  create_revision: [2, 'int64'],
  mod_revision: [3, 'int64'],
  version: [4, 'int64'],
  value: [5, 'bytes'],
  lease: [6, 'uint64'],
})
const event = schema('Event', { type: [1, 'enum'], kv: [2, keyValue], prev_kv: [3, keyValue] })

const rangeRequest = schema('RangeRequest', {
  key: [1, 'bytes'],
  range_end: [2, 'bytes'],
  limit: [3, 'int64'],
  revision: [4, 'int64'],
  sort_order: [5, 'enum'],
  sort_target: [6, 'enum'],
  serializable: [7, 'bool'],
  keys_only: [8, 'bool'],
  count_only: [9, 'bool'],
  min_mod_revision: [10, 'int64'],
  max_mod_revision: [11, 'int64'],
  min_create_revision: [12, 'int64'],
  max_create_revision: [13, 'int64'],
})
const rangeResponse = schema('RangeResponse', {
  header: [1, responseHeader],
  kvs: [2, keyValue, 'repeated'],
  more: [3, 'bool'],
  count: [4, 'int64'],
})
const putRequest = schema('PutRequest', {
  key: [1, 'bytes'],
  value: [2, 'bytes'],
  lease: [3, 'uint64'],
  prev_kv: [4, 'bool'],
  ignore_value: [5, 'bool'],
  ignore_lease: [6, 'bool'],
})
const putResponse = schema('PutResponse', { header: [1, responseHeader], prev_kv: [2, keyValue] })
const deleteRangeRequest = schema('DeleteRangeRequest', {
  key: [1, 'bytes'],
  range_end: [2, 'bytes'],
  prev_kv: [3, 'bool'],
})
const deleteRangeResponse = schema('DeleteRangeResponse', {
  header: [1, responseHeader],
  deleted: [2, 'int64'],
  prev_kvs: [3, keyValue, 'repeated'],
})
const compare = schema('Compare', {
  result: [1, 'enum'],
  target: [2, 'enum'],
  key: [3, 'bytes'],
  version: [4, 'int64'],
  create_revision: [5, 'int64'],
  mod_revision: [6, 'int64'],
  value: [7, 'bytes'],
  lease: [8, 'uint64'],
  range_end: [64, 'bytes'],
})

/** Transactions nest in themselves, so their tables are closed after they exist. */
function transactionSchemas(): { txnRequest: Schema; txnResponse: Schema } {
  const requestFields: Schema = { name: 'TxnRequest', fields: new Map() }
  const responseFields: Schema = { name: 'TxnResponse', fields: new Map() }
  const requestOp = schema('RequestOp', {
    request_range: [1, rangeRequest],
    request_put: [2, putRequest],
    request_delete_range: [3, deleteRangeRequest],
    request_txn: [4, requestFields],
  })
  const responseOp = schema('ResponseOp', {
    response_range: [1, rangeResponse],
    response_put: [2, putResponse],
    response_delete_range: [3, deleteRangeResponse],
    response_txn: [4, responseFields],
  })
  const request = schema('TxnRequest', {
    compare: [1, compare, 'repeated'],
    success: [2, requestOp, 'repeated'],
    failure: [3, requestOp, 'repeated'],
  })
  const response = schema('TxnResponse', {
    header: [1, responseHeader],
    succeeded: [2, 'bool'],
    responses: [3, responseOp, 'repeated'],
  })
  const close = (into: Schema, from: Schema): void => {
    for (const [name, field] of from.fields) (into.fields as Map<string, typeof field>).set(name, field)
  }
  close(requestFields, request)
  close(responseFields, response)
  return { txnRequest: requestFields, txnResponse: responseFields }
}

const { txnRequest, txnResponse } = transactionSchemas()
const empty = schema('Empty', {})
const headerOnly = schema('HeaderOnly', { header: [1, responseHeader] })
const leaseId = schema('LeaseId', { ID: [1, 'uint64'] })
const memberId = schema('MemberId', { ID: [1, 'uint64'] })
const member = schema('Member', {
  ID: [1, 'uint64'],
  name: [2, 'string'],
  peerURLs: [3, 'string', 'repeated'],
  clientURLs: [4, 'string', 'repeated'],
  isLearner: [5, 'bool'],
})

const membersResponse = schema('MembersResponse', {
  header: [1, responseHeader],
  members: [2, member, 'repeated'],
})

export type Method = { path: string; request: Schema; response: Schema }

function method(path: string, request: Schema, response: Schema): Method {
  return { path: `/etcdserverpb.${path}`, request, response }
}

export type MethodName =
  | 'range'
  | 'put'
  | 'deleteRange'
  | 'txn'
  | 'compact'
  | 'leaseGrant'
  | 'leaseRevoke'
  | 'leaseTimeToLive'
  | 'leaseLeases'
  | 'leaseKeepAlive'
  | 'watch'
  | 'memberList'
  | 'memberAdd'
  | 'memberRemove'
  | 'memberUpdate'
  | 'memberPromote'
  | 'moveLeader'
  | 'status'
  | 'hashKv'
  | 'snapshot'

export const methods: Readonly<Record<MethodName, Method>> = {
  range: method('KV/Range', rangeRequest, rangeResponse),
  put: method('KV/Put', putRequest, putResponse),
  deleteRange: method('KV/DeleteRange', deleteRangeRequest, deleteRangeResponse),
  txn: method('KV/Txn', txnRequest, txnResponse),
  compact: method(
    'KV/Compact',
    schema('CompactionRequest', { revision: [1, 'int64'], physical: [2, 'bool'] }),
    headerOnly,
  ),
  leaseGrant: method(
    'Lease/LeaseGrant',
    schema('LeaseGrantRequest', { TTL: [1, 'int64'], ID: [2, 'uint64'] }),
    schema('LeaseGrantResponse', {
      header: [1, responseHeader],
      ID: [2, 'uint64'],
      TTL: [3, 'int64'],
      error: [4, 'string'],
    }),
  ),
  leaseRevoke: method('Lease/LeaseRevoke', leaseId, headerOnly),
  leaseTimeToLive: method(
    'Lease/LeaseTimeToLive',
    schema('LeaseTimeToLiveRequest', { ID: [1, 'uint64'], keys: [2, 'bool'] }),
    schema('LeaseTimeToLiveResponse', {
      header: [1, responseHeader],
      ID: [2, 'uint64'],
      TTL: [3, 'int64'],
      grantedTTL: [4, 'int64'],
      keys: [5, 'bytes', 'repeated'],
    }),
  ),
  leaseLeases: method(
    'Lease/LeaseLeases',
    empty,
    schema('LeaseLeasesResponse', { header: [1, responseHeader], leases: [2, leaseId, 'repeated'] }),
  ),
  leaseKeepAlive: method(
    'Lease/LeaseKeepAlive',
    leaseId,
    schema('LeaseKeepAliveResponse', { header: [1, responseHeader], ID: [2, 'uint64'], TTL: [3, 'int64'] }),
  ),
  watch: method(
    'Watch/Watch',
    schema('WatchRequest', {
      create_request: [
        1,
        schema('WatchCreateRequest', {
          key: [1, 'bytes'],
          range_end: [2, 'bytes'],
          start_revision: [3, 'int64'],
          progress_notify: [4, 'bool'],
          filters: [5, 'enum', 'repeated'],
          prev_kv: [6, 'bool'],
          watch_id: [7, 'int64'],
          fragment: [8, 'bool'],
        }),
      ],
      cancel_request: [2, schema('WatchCancelRequest', { watch_id: [1, 'int64'] })],
      progress_request: [3, schema('WatchProgressRequest', {})],
    }),
    schema('WatchResponse', {
      header: [1, responseHeader],
      watch_id: [2, 'int64'],
      created: [3, 'bool'],
      canceled: [4, 'bool'],
      compact_revision: [5, 'int64'],
      cancel_reason: [6, 'string'],
      fragment: [7, 'bool'],
      events: [11, event, 'repeated'],
    }),
  ),
  memberList: method(
    'Cluster/MemberList',
    schema('MemberListRequest', { linearizable: [1, 'bool'] }),
    membersResponse,
  ),
  memberAdd: method(
    'Cluster/MemberAdd',
    schema('MemberAddRequest', { peerURLs: [1, 'string', 'repeated'], isLearner: [2, 'bool'] }),
    schema('MemberAddResponse', {
      header: [1, responseHeader],
      member: [2, member],
      members: [3, member, 'repeated'],
    }),
  ),
  memberRemove: method('Cluster/MemberRemove', memberId, membersResponse),
  memberUpdate: method(
    'Cluster/MemberUpdate',
    schema('MemberUpdateRequest', { ID: [1, 'uint64'], peerURLs: [2, 'string', 'repeated'] }),
    membersResponse,
  ),
  memberPromote: method('Cluster/MemberPromote', memberId, membersResponse),
  moveLeader: method(
    'Maintenance/MoveLeader',
    schema('MoveLeaderRequest', { targetID: [1, 'uint64'] }),
    headerOnly,
  ),
  status: method(
    'Maintenance/Status',
    empty,
    schema('StatusResponse', {
      header: [1, responseHeader],
      version: [2, 'string'],
      dbSize: [3, 'int64'],
      leader: [4, 'uint64'],
      raftIndex: [5, 'uint64'],
      raftTerm: [6, 'uint64'],
      raftAppliedIndex: [7, 'uint64'],
      errors: [8, 'string', 'repeated'],
      dbSizeInUse: [9, 'int64'],
      isLearner: [10, 'bool'],
    }),
  ),
  hashKv: method(
    'Maintenance/HashKV',
    schema('HashKVRequest', { revision: [1, 'int64'] }),
    schema('HashKVResponse', {
      header: [1, responseHeader],
      hash: [2, 'uint32'],
      compact_revision: [3, 'int64'],
      hash_revision: [4, 'int64'],
    }),
  ),
  snapshot: method(
    'Maintenance/Snapshot',
    empty,
    schema('SnapshotResponse', {
      header: [1, responseHeader],
      remaining_bytes: [2, 'uint64'],
      blob: [3, 'bytes'],
    }),
  ),
}
