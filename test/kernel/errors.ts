// Errors of the disk at every call: the n-th call that changes a file fails, once or from then on, or does half of its
// work. After EIO nothing may be acknowledged that a clean restart does not have, and for the files that acknowledgements
// rest on nothing at all: a sync that failed is not tried again. A full disk is refused and got over. Half a write is
// no error.
import { renameSync, rmSync } from 'node:fs'
import { eventually } from '../processes/harness.ts'
import { beginPhase, makeSlots, type Slot } from './crash.ts'
import { type Action, boundaryOf, errno, type Interposer } from './interposer.ts'
import {
  inParallel,
  type Lab,
  type Prepared,
  prepareLives,
  type SweepResult,
  untilMsOf,
  verify,
} from './lab.ts'
import { type Life, NodeEnded, newNode, phases, Refused } from './life.ts'
import type { WorkerOpener } from './opener.ts'
import { choosePoints, nextPlace, type Point, pointName } from './points.ts'

/** How a life ended that met an error. */
interface Outcome {
  readonly calls: readonly string[]
  readonly isReached: boolean
  readonly how: 'undisturbed' | 'ended' | 'crashed in lmdb' | 'refused' | 'wrong'
  readonly problems: readonly string[]
}

interface ErrorPoint extends Point {
  readonly error: 'EIO' | 'ENOSPC' | undefined
}

const kinds: readonly { action: Action; error: 'EIO' | 'ENOSPC' | undefined }[] = [
  { action: 'fail-once', error: 'EIO' },
  { action: 'fail-always', error: 'EIO' },
  { action: 'fail-once', error: 'ENOSPC' },
  { action: 'fail-always', error: 'ENOSPC' },
  { action: 'half-once', error: undefined },
  // libuv goes on behind half a write by itself, and tells of it only when that fails.
  { action: 'half-then-fail', error: 'ENOSPC' },
]

/**
 * What acknowledgements rest on: after an error here there is none. Elsewhere (a segment that is prepared, the store) the
 * error may come to light a moment later; until then answers rest on the log, and the restart has to have them.
 */
const trusted = /^(pwrite64|pwritev|writev|fdatasync) wal\/(\S+\.wal|hard-state)$/
const writes = /^p?write/
/** What lmdb does itself; an error there may end in a crash of its own (decision 3), which is no loss. */
const ownWrites = /^(openat|pwrite64|writev|ftruncate|fdatasync) store\//
const servesAgainMs = 30_000
const failedExit = 1

export async function sweepErrors(lab: Lab): Promise<SweepResult> {
  const { options } = lab
  const prepared = await prepareLives(lab)
  const slots = await makeSlots(lab, options.jobs)
  const all: ErrorPoint[] = []
  for (const phase of phases.keys()) {
    const { calls } = await meet(slots[0] as Slot, prepared, {
      phase,
      at: 0,
      action: 'nothing',
      call: '',
      error: undefined,
    })
    for (const [i, call] of calls.entries()) {
      const possible = kinds.filter(({ action }) => action !== 'half-then-fail' || writes.test(call))
      for (const kind of possible) all.push({ phase, at: i + 1, ...kind, call })
    }
  }
  const counts: Record<string, number> = { points: 0 }
  const tallies = new Map<string, number>()
  const problems: string[] = []
  let wrong = 0
  const points = choosePoints(all, options, nameOf)
  const openers = lab.makeOpeners()
  const taken = await inParallel(points, options.jobs, untilMsOf(options), async ({ point }, worker) => {
    const slot = slots[worker] as Slot
    const outcome = await meet(slot, prepared, point, openers[worker])
    if (!outcome.isReached) return
    const what = point.error ?? 'half'
    counts.points = (counts.points ?? 0) + 1
    counts[`${what} ${outcome.how}`] = (counts[`${what} ${outcome.how}`] ?? 0) + 1
    const boundary = `${what} ${point.action} ${boundaryOf(outcome.calls[point.at - 1] ?? '')}: ${outcome.how}`
    tallies.set(boundary, (tallies.get(boundary) ?? 0) + 1)
    if (outcome.problems.length > 0) wrong++
    for (const problem of outcome.problems) {
      problems.push(`${nameOf(point)} (${outcome.calls[point.at - 1]}): ${problem}`)
    }
  })
  if (options.isVerbose) for (const [what, count] of [...tallies].sort()) console.log(`  ${count} ${what}`)
  const next = nextPlace(points, taken)
  return { name: 'errors', counts: { ...counts, wrong }, problems, next }
}

function nameOf(point: ErrorPoint): string {
  return `${pointName(point)}${point.error === undefined ? '' : `:${point.error}`}`
}

interface Meeting {
  readonly life: Life
  readonly point: ErrorPoint
  readonly interposer: Interposer
  readonly problems: string[]
}

async function meet(
  slot: Slot,
  prepared: readonly Prepared[],
  point: ErrorPoint,
  opener?: WorkerOpener,
): Promise<Outcome> {
  const { life, interposer } = beginPhase(slot, prepared[point.phase])
  life.isDisturbed = () => interposer.fired > 0
  interposer.arm(point.at, point.action, point.error === undefined ? 0 : errno[point.error])
  const problems: string[] = []
  const how = await live({ life, point, interposer, problems })
  const calls = interposer.calls()
  const isReached = interposer.fired > 0
  interposer.close()
  slot.node.environment = {}
  const call = calls[point.at - 1] ?? ''
  if (point.error === 'EIO' && trusted.test(call) && life.answersAfterDisturbance > 0) {
    problems.push(`${life.answersAfterDisturbance} answers after the error`)
  }
  // LMDB takes half a write for a failed one and the node ends; what is written by Quorate itself goes on.
  if (point.action === 'half-once' && how !== 'undisturbed' && !call.endsWith(' store/data.mdb')) {
    problems.push(`half a write ended in: ${how}`)
  }
  if (isReached) problems.push(...(await verifyAside(slot, point, life, opener)))
  return { calls, isReached, how: problems.length === 0 ? how : 'wrong', problems }
}

/** Each in a directory of its own name: an opener opens none twice. */
async function verifyAside(
  slot: Slot,
  point: ErrorPoint,
  { history }: Life,
  opener: WorkerOpener | undefined,
): Promise<string[]> {
  const aside = `${slot.node.directory}-${nameOf(point)}`
  renameSync(slot.node.directory, aside)
  try {
    return await verify(newNode(aside, slot.ports), history, opener)
  } finally {
    rmSync(aside, { recursive: true, force: true })
  }
}

async function live(meeting: Meeting): Promise<Outcome['how']> {
  const { life, point, problems } = meeting
  try {
    await phases[point.phase]?.run(life)
    return 'undisturbed'
  } catch (error) {
    if (error instanceof NodeEnded) return await ended(meeting)
    if (error instanceof Refused) return await afterRefusal(meeting)
    problems.push(String(error))
    return 'wrong'
  } finally {
    if (life.node.isRunning) await life.node.end('SIGKILL')
  }
}

async function ended({ life, point, interposer, problems }: Meeting): Promise<Outcome['how']> {
  const exit = await life.node.ended().catch((error: unknown) => String(error))
  if (typeof exit === 'string') {
    problems.push(`it neither answers nor ends: ${exit}`)
    return 'wrong'
  }
  const isCrash = exit.signal === 'SIGSEGV' || exit.signal === 'SIGABRT'
  if (isCrash && failedCalls(point, interposer).some((call) => ownWrites.test(call))) return 'crashed in lmdb'
  if (exit.code !== failedExit) {
    const lines = life.node.program.stderr.trimEnd().split('\n').slice(-2).join(' ')
    problems.push(`it ended with code ${exit.code}, signal ${exit.signal}: ${lines}`)
  }
  return 'ended'
}

/** The call of the point, and all after it where the error stays. */
function failedCalls({ at, action }: ErrorPoint, interposer: Interposer): string[] {
  const isOnce = action === 'fail-once' || action === 'half-once'
  return interposer.calls().slice(at - 1, isOnce ? at : undefined)
}

/** It said no and runs on: when the disk is well again, so must it be. */
async function afterRefusal(meeting: Meeting): Promise<Outcome['how']> {
  const { life, point, problems } = meeting
  if (point.error === 'EIO') return await ended(meeting)
  // It stays full: the restart without the fault shows that nothing was lost by it.
  if (point.action !== 'fail-always') {
    try {
      await eventually('an accepted write', () => isAccepted(life), servesAgainMs)
    } catch (error) {
      problems.push(`refused for good: ${String(error)}`)
      return 'wrong'
    }
  }
  return life.node.isRunning ? 'refused' : await ended(meeting)
}

/** Undefined: not yet. True also when the node has ended, which nothing will change. */
async function isAccepted(life: Life): Promise<true | undefined> {
  if (!life.node.isRunning) return true
  try {
    await life.put(`again/${life.history.attempts.length}`)
    return true
  } catch (error) {
    if (error instanceof NodeEnded || error instanceof Refused) return undefined
    throw error
  }
}
