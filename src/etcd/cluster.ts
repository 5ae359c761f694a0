import { compareIds, QuorateError } from '../base/index.ts'
import {
  decodeMemberAddRequest,
  decodeMemberIdRequest,
  decodeMemberListRequest,
  decodeMemberUpdateRequest,
  encodeMemberAddResponse,
  encodeMembersResponse,
  type Member as MemberMessage,
} from '../etcd-codec/index.ts'
import type { GrpcMethod } from '../grpc/index.ts'
import type { Member } from '../node/index.ts'
import { headerAt, waitOptions } from './context.ts'
import type { EtcdDependencies } from './dependencies.ts'
import { readRules, unary, writeRules } from './methods.ts'

/** etcdserverpb.Cluster. Its headers carry no revision, as in etcd. */
export function clusterService(from: EtcdDependencies): [string, GrpcMethod][] {
  const { group } = from
  const answer = (members: readonly Member[]): Uint8Array =>
    encodeMembersResponse({ header: headerAt(from, 0), members: membersOf(members) })
  return [
    [
      '/etcdserverpb.Cluster/MemberList',
      unary(from, readRules, async (bytes, call) => {
        if (decodeMemberListRequest(bytes).linearizable) await group.readBarrier(waitOptions(from, call))
        return answer(group.members())
      }),
    ],
    [
      '/etcdserverpb.Cluster/MemberAdd',
      unary(from, writeRules, async (bytes, call) => {
        const { peerUrls, isLearner } = decodeMemberAddRequest(bytes)
        checkPeerUrls(peerUrls)
        const { added, members } = await group.addMember(peerUrls, isLearner, waitOptions(from, call))
        const header = headerAt(from, 0)
        return encodeMemberAddResponse({ header, member: memberOf(added), members: membersOf(members) })
      }),
    ],
    [
      '/etcdserverpb.Cluster/MemberRemove',
      unary(from, writeRules, async (bytes, call) =>
        answer(await group.removeMember(decodeMemberIdRequest(bytes).id, waitOptions(from, call))),
      ),
    ],
    [
      '/etcdserverpb.Cluster/MemberUpdate',
      unary(from, writeRules, async (bytes, call) => {
        const { id, peerUrls } = decodeMemberUpdateRequest(bytes)
        // Of an unknown member with bad addresses etcd names the member.
        if (group.members().some((member) => member.id === id)) checkPeerUrls(peerUrls)
        return answer(await group.updateMember(id, peerUrls, waitOptions(from, call)))
      }),
    ],
    [
      '/etcdserverpb.Cluster/MemberPromote',
      unary(from, writeRules, async (bytes, call) =>
        answer(await group.promoteMember(decodeMemberIdRequest(bytes).id, waitOptions(from, call))),
      ),
    ],
  ]
}

/** http(s)://host:port without a path, or a unix socket: what etcd's types.NewURLs takes. */
const peerUrl = /^\s*(https?:\/\/(\[[0-9a-fA-F:.%]+\]|[^\s/:?#[\]@]*):\d*|unixs?:\/\/\S+)\s*$/

function checkPeerUrls(urls: readonly string[]): void {
  const bad = urls.length === 0 ? '(none given)' : urls.find((url) => !peerUrl.test(url))
  if (bad !== undefined) throw new QuorateError('member-urls-invalid', bad)
}

function membersOf(members: readonly Member[]): MemberMessage[] {
  return [...members].sort((left, right) => compareIds(left.id, right.id)).map(memberOf)
}

/** One that was added as a voter is shown as a voter, also while it still catches up. */
function memberOf(member: Member): MemberMessage {
  return {
    id: member.id,
    name: member.name,
    peerUrls: member.peerUrls,
    clientUrls: member.clientUrls,
    isLearner: member.isLearner && !member.promoteWhenReady,
  }
}
