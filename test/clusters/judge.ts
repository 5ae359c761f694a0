// The verdict on one recorded history, by the checkers of the simulator.
import {
  checkKv,
  checkLeases,
  checkWatches,
  isLinearizable,
  type RecordedCall,
  type RegisterInput,
  type RegisterOutput,
  type RevisionRecord,
  registerModel,
  type TimedCall,
  type Violation,
} from '../../src/simulator/index.ts'
import type { Recorder } from './recorder.ts'

/** `clockRateMax`: how much faster than true time the clocks of a node may have run. */
export function judge(recorder: Recorder, clockRateMax: number): Violation[] {
  const { calls, leases, watches, collector } = recorder
  const log = collector.records()
  const { sightings } = collector
  const answers = calls.flatMap(({ outcome }) =>
    outcome.kind === 'answered' ? [{ revision: outcome.revision, seenAt: outcome.returnedAt }] : [],
  )
  return [
    ...collector.violations,
    ...checkKv({ calls, log, sightings, leases: leases.map(({ id }) => id) }),
    ...checkLeases(log, leases, [...answers, ...sightings], clockRateMax),
    ...checkWatches(log, watches),
    ...checkRegisters(calls),
  ]
}

/** Acknowledged writes whose values are not in the log at the revision of the acknowledgement. */
export function countLost(calls: readonly RecordedCall[], log: readonly RevisionRecord[]): number {
  const byRevision = new Map(log.map((record) => [record.revision, record]))
  return calls.filter((call) => {
    const { request, outcome } = call
    if (outcome.kind !== 'answered' || request.kind !== 'put') return false
    const record = byRevision.get(outcome.revision)
    return (
      record?.events.every(({ kind, ...event }) => {
        const pair = kind === 'put' && 'pair' in event ? event.pair : undefined
        return pair?.value !== request.value
      }) !== false
    )
  }).length
}

/** The registers by a search that believes no revision: only what was called, answered, and when. */
function checkRegisters(calls: readonly RecordedCall[]): Violation[] {
  const byKey = new Map<string, TimedCall<RegisterInput, RegisterOutput>[]>()
  for (const call of calls) {
    const register = registerCallOf(call)
    if (register === undefined) continue
    const list = byKey.get(register.key) ?? []
    byKey.set(register.key, list)
    list.push(register.timed)
  }
  return [...byKey].flatMap(([key, timed]) =>
    isLinearizable(registerModel(''), timed)
      ? []
      : [
          {
            promise: 'registers are linearizable',
            facts: `no order explains the ${timed.length} calls on ${key}`,
          },
        ],
  )
}

function registerCallOf(
  call: RecordedCall,
): { key: string; timed: TimedCall<RegisterInput, RegisterOutput> } | undefined {
  const { request, outcome, calledAt } = call
  if (outcome.kind === 'failed' || call.isSerializable || call.atRevision !== 0) return undefined
  const asked = registerInputOf(request)
  if (asked === undefined || !asked.key.startsWith('r')) return undefined
  const { key, input } = asked
  if (outcome.kind === 'unknown') {
    // A read that was never answered says nothing.
    return input.kind === 'read' ? undefined : { key, timed: { input, calledAt, answer: undefined } }
  }
  const { result, returnedAt } = outcome
  const output =
    result.kind === 'range'
      ? (result.pairs[0]?.value ?? '')
      : result.kind === 'transaction'
        ? result.succeeded
        : null
  return { key, timed: { input, calledAt, answer: { output, returnedAt } } }
}

function registerInputOf(
  request: RecordedCall['request'],
): { key: string; input: RegisterInput } | undefined {
  switch (request.kind) {
    case 'range':
      return request.end === '' ? { key: request.key, input: { kind: 'read' } } : undefined
    case 'put':
      return { key: request.key, input: { kind: 'write', value: request.value } }
    case 'transaction': {
      const [compare] = request.compare
      const [step] = request.success
      if (compare?.target !== 'value' || typeof compare.operand !== 'string' || step?.kind !== 'put') {
        return undefined
      }
      const input = { kind: 'swap', from: compare.operand, to: step.value } as const
      return { key: compare.key, input }
    }
    default:
      return undefined
  }
}
