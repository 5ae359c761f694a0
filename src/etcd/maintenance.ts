import { formatId, isQuorateError, QuorateError } from '../base/index.ts'
import {
  type AlarmMember,
  alarmAction,
  alarmType,
  decodeAlarmRequest,
  decodeDowngradeRequest,
  decodeHashKVRequest,
  decodeMoveLeaderRequest,
  downgradeAction,
  encodeAlarmResponse,
  encodeHashKVResponse,
  encodeHashResponse,
  encodeHeaderResponse,
  encodeStatusResponse,
} from '../etcd-codec/index.ts'
import { type GrpcCall, GrpcError, type GrpcMethod, grpcStatus } from '../grpc/index.ts'
import { headerAt, inSlices, waitOptions } from './context.ts'
import type { Alarm, EtcdDependencies } from './dependencies.ts'
import type { LeaderMonitor } from './leader-monitor.ts'
import { localRules, readRules, streaming, unary, writeRules } from './methods.ts'
import { streamSnapshot } from './snapshot-stream.ts'

/** etcdserverpb.Maintenance: what one member says about itself. */
export function maintenanceService(from: EtcdDependencies, monitor: LeaderMonitor): [string, GrpcMethod][] {
  const service = '/etcdserverpb.Maintenance'
  return [
    [`${service}/Status`, unary(from, localRules, () => status(from))],
    [`${service}/Alarm`, unary(from, writeRules, (bytes) => alarm(from, bytes))],
    [`${service}/Defragment`, unary(from, readRules, () => defragment(from))],
    [`${service}/Hash`, unary(from, readRules, (_, call) => hash(from, call))],
    [`${service}/HashKV`, unary(from, readRules, (bytes, call) => hashKv(from, bytes, call))],
    [
      `${service}/Snapshot`,
      streaming(from, localRules, monitor, (stream, fail) => streamSnapshot(from, stream, fail)),
    ],
    [`${service}/MoveLeader`, unary(from, writeRules, (bytes, call) => moveLeader(from, bytes, call))],
    [`${service}/Downgrade`, unary(from, writeRules, (bytes) => downgrade(bytes))],
  ]
}

function status(from: EtcdDependencies): Uint8Array {
  const { group, core, maintenance, options } = from
  const state = group.status()
  const sizes = maintenance.sizes()
  const errors = maintenance
    .alarms()
    .map((raised) => `memberID:${raised.memberId} alarm:${alarmName(raised)} `)
  if (state.leader === 0n) errors.push('etcdserver: no leader')
  return encodeStatusResponse({
    header: headerAt(from, core.revision),
    version: options.version,
    dbSize: sizes.total,
    leader: state.leader,
    raftIndex: state.commitIndex,
    raftTerm: state.term,
    raftAppliedIndex: state.appliedIndex,
    errors: [...errors, ...state.problems],
    dbSizeInUse: sizes.inUse,
    isLearner: state.isLearner,
    storageVersion: options.storageVersion,
    dbSizeQuota: sizes.quota,
    downgradeInfo: { enabled: false, targetVersion: '' },
  })
}

/**
 * Alarms here are facts about a member (its disk is full, its state differs) and end by themselves when their cause
 * does. So nobody raises one, and disarming answers with what is disarmed already: nothing.
 */
function alarm(from: EtcdDependencies, bytes: Uint8Array): Uint8Array {
  const request = decodeAlarmRequest(bytes)
  const raised = from.maintenance.alarms().map(alarmMessage)
  const header = headerAt(from, from.core.revision)
  const isMeant = (one: AlarmMember): boolean =>
    (request.memberId === 0n || request.memberId === one.memberId) && request.alarm === one.alarm
  switch (request.action) {
    case alarmAction.get: {
      const alarms = request.alarm === alarmType.none ? raised : raised.filter(isMeant)
      return encodeAlarmResponse({ header, alarms })
    }
    case alarmAction.activate:
      throw new QuorateError('unimplemented', 'an alarm is raised by its member alone')
    case alarmAction.deactivate: {
      const standing = raised.find(isMeant)
      if (standing === undefined) return encodeAlarmResponse({ header, alarms: [] })
      const member = formatId(standing.memberId)
      const text = `quorate: the alarm of member ${member} ends by itself when its cause is gone`
      throw new GrpcError(grpcStatus.failedPrecondition, text)
    }
    default:
      throw unknownMethod()
  }
}

function alarmMessage(raised: Alarm): AlarmMember {
  return {
    memberId: raised.memberId,
    alarm: raised.kind === 'noSpace' ? alarmType.noSpace : alarmType.corrupt,
  }
}

function alarmName(raised: Alarm): string {
  return raised.kind === 'noSpace' ? 'NOSPACE' : 'CORRUPT'
}

function defragment(from: EtcdDependencies): Uint8Array {
  from.maintenance.defragment()
  return encodeHeaderResponse({ header: undefined })
}

function hash(from: EtcdDependencies, call: GrpcCall): Uint8Array | Promise<Uint8Array> {
  const header = headerAt(from, from.core.revision)
  return inSlices(from.time, call, from.core.hash(0), (result) =>
    encodeHashResponse({ header, hash: result.hash }),
  )
}

function hashKv(from: EtcdDependencies, bytes: Uint8Array, call: GrpcCall): Uint8Array | Promise<Uint8Array> {
  const revision = Math.max(decodeHashKVRequest(bytes).revision, 0)
  const header = headerAt(from, from.core.revision)
  return inSlices(from.time, call, from.core.hash(revision), (result) =>
    encodeHashKVResponse({
      header,
      hash: result.hash,
      // etcd says -1 while nothing was ever compacted.
      compactRevision: result.compactRevision === 0 ? -1 : result.compactRevision,
      hashRevision: result.hashRevision,
    }),
  )
}

async function moveLeader(from: EtcdDependencies, bytes: Uint8Array, call: GrpcCall): Promise<Uint8Array> {
  const { targetId } = decodeMoveLeaderRequest(bytes)
  try {
    await from.group.transferLeadership(targetId, waitOptions(from, call))
  } catch (error) {
    if (!isQuorateError(error, 'not-leader')) throw error
    const outcome = new Map([['quorate-outcome', 'none']])
    throw new GrpcError(grpcStatus.failedPrecondition, 'etcdserver: not leader', outcome)
  }
  return encodeHeaderResponse({ header: undefined })
}

/** There is no lower version of Quorate that could read this data: no target is valid, no job is ever under way. */
function downgrade(bytes: Uint8Array): Uint8Array {
  const { action, version } = decodeDowngradeRequest(bytes)
  if (action === downgradeAction.cancel) {
    throw new GrpcError(grpcStatus.failedPrecondition, 'etcdserver: no inflight downgrade job')
  }
  if (action !== downgradeAction.validate && action !== downgradeAction.enable) throw unknownMethod()
  const text = /^v?\d+\.\d+(\.\d+)?$/.test(version)
    ? 'etcdserver: invalid downgrade target version'
    : 'etcdserver: wrong downgrade target version format'
  throw new GrpcError(grpcStatus.invalidArgument, text)
}

function unknownMethod(): GrpcError {
  return new GrpcError(grpcStatus.unknown, 'etcdserver: unknown method')
}
