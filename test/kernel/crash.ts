// Kill at every call that changes a file of the directory. What a process leaves that dies between two such calls is the
// directory as it is then, for no process holds back what it wrote. So one life is stopped before each of its calls and
// its directory copied there, and each copy must make sense to the next start: every place to die, quickly. Real kills,
// just before or just after the n-th call of a life of their own, are tried as long as the time lasts, and what they
// leave has to look like the copy of that place.
import { cpSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ProcessNode } from '../processes/harness.ts'
import { freePorts } from '../support/ports.ts'
import type { History } from './history.ts'
import { boundaryOf, Interposer } from './interposer.ts'
import {
  inParallel,
  type Lab,
  type Prepared,
  prepareLives,
  type SweepResult,
  untilMsOf,
  verify,
} from './lab.ts'
import { Life, NodeEnded, newNode, phases } from './life.ts'
import type { WorkerOpener } from './opener.ts'
import { choosePoints, nextPlace, type Point, pointName } from './points.ts'
import { liveInSteps } from './steps.ts'
import { compareWithStrace } from './strace.ts'

/** Lives differ a little in length: their timers. The points behind the longest are not reached. */
const beyond = 1.1
/** Of the time of a sweep; the rest is for real kills. */
const copiesShare = 0.75
/**
 * A real kill that leaves other files than the copy has is lived again. Two threads may be at a call at once and one
 * batch of the store may hold more than another, so the same calls are not always the same bytes; what kills never
 * leave as the copy has it is a fault.
 */
const comparisonsMax = 3
/** Copies that made no sense to a start stay, for a look at them: the first ones. */
const keptMax = 5
const keptDirectory = join(tmpdir(), 'quorate-bad-recoveries')

/** A place of a life just before a call: what a death there leaves, and what was acknowledged by then. */
interface Copy extends Point {
  readonly directory: string
  readonly history: History
}

/** A life: how many calls it made, and its copies: two threads may call at once, and then two calls have one. */
interface Recorded {
  readonly calls: number
  readonly copies: readonly Copy[]
}

interface Sweep {
  readonly lab: Lab
  readonly prepared: readonly Prepared[]
  readonly slots: readonly Slot[]
  readonly counts: Record<'copies' | 'kills' | 'compared' | 'unlike the copy' | 'bad recoveries', number>
  readonly kinds: Set<string>
  readonly problems: string[]
}

export async function sweepCrashes(lab: Lab): Promise<SweepResult> {
  const { options } = lab
  const prepared = await prepareLives(lab)
  const slots = await makeSlots(lab, options.jobs)
  const counts = { copies: 0, kills: 0, compared: 0, 'unlike the copy': 0, 'bad recoveries': 0 }
  const problems = await compareWithStrace(slots[0] as Slot, prepared, lab.makeDirectory('strace'))
  const sweep: Sweep = { lab, prepared, slots, counts, kinds: new Set(), problems }
  const lives: Recorded[] = []
  for (const phase of phases.keys()) lives.push(await recordLife(sweep, phase))
  const recordedMs = performance.now()
  const untilMs = untilMsOf(options)
  await openCopies(
    sweep,
    lives.flatMap(({ copies }) => copies),
    recordedMs + (untilMs - recordedMs) * copiesShare,
  )
  const next = await killForReal(sweep, lives, untilMs)
  const calls = lives.reduce((sum, life) => sum + life.calls, 0)
  return { name: 'crash', counts, facts: { calls, kinds: sweep.kinds.size }, problems, next }
}

/** One life that is stopped before each of its calls. */
async function recordLife({ lab, prepared, slots }: Sweep, phase: number): Promise<Recorded> {
  const { life, interposer } = beginPhase(slots[0] as Slot, prepared[phase])
  const base = lab.makeDirectory(`copies-${phase}`)
  const copies: Copy[] = []
  await liveInSteps({ life, interposer, phase, next: (at) => at + 1 }, (at) => {
    const directory = join(base, `${at}`)
    cpSync(life.node.directory, directory, { recursive: true })
    const call = interposer.calls()[at - 1] ?? ''
    const history = structuredClone(life.history)
    copies.push({ phase, at, action: 'stop-before', call, directory, history })
  })
  const calls = interposer.count
  interposer.close()
  life.node.environment = {}
  return { calls, copies }
}

async function openCopies(sweep: Sweep, copies: readonly Copy[], untilMs: number): Promise<void> {
  const { lab, slots, counts } = sweep
  const openers = lab.makeOpeners()
  const chosen = choosePoints(copies, lab.options, pointName)
  await inParallel(chosen, lab.options.jobs, untilMs, async ({ point: copy }, worker) => {
    counts.copies++
    // The start writes, and real kills are compared with the copy as it is.
    const directory = `${copy.directory}.opened`
    cpSync(copy.directory, directory, { recursive: true })
    const node = newNode(directory, (slots[worker] as Slot).ports)
    judge(sweep, copy, copy.call, await verify(node, copy.history, openers[worker] as WorkerOpener))
    rmSync(directory, { recursive: true })
  })
  for (const opener of openers) opener.end()
}

/** Returns where the next run goes on. */
async function killForReal(sweep: Sweep, lives: readonly Recorded[], untilMs: number): Promise<number> {
  const { lab, slots, counts, problems } = sweep
  const points = lives.flatMap(({ calls, copies }, phase) =>
    Array.from({ length: Math.ceil(calls * beyond) }, (_, i) => ({ phase, at: i + 1 })).flatMap((place) =>
      (['kill-before', 'kill-after'] as const).map((action) => ({
        ...place,
        action,
        call: copies.find(({ at }) => at === place.at)?.call ?? '',
      })),
    ),
  )
  const chosen = choosePoints(points, lab.options, pointName)
  const taken = await inParallel(chosen, lab.options.jobs, untilMs, async ({ point }, worker) => {
    const differences: string[] = []
    while (differences.length < comparisonsMax) {
      const difference = await killAt(sweep, lives[point.phase], point, slots[worker] as Slot)
      if (difference === undefined) return
      counts['unlike the copy']++
      differences.push(difference)
    }
    problems.push(...differences)
  })
  return nextPlace(chosen, taken)
}

/** One life that ends so. Returns how what it left differs from the copy of that place, where there is one. */
async function killAt(
  sweep: Sweep,
  recorded: Recorded | undefined,
  point: Point,
  slot: Slot,
): Promise<string | undefined> {
  const { counts, prepared, problems } = sweep
  const { calls, isReached, life, oddity } = await liveUntil(slot, prepared, point)
  if (oddity !== undefined) problems.push(`${pointName(point)}: ${oddity}`)
  if (!isReached) return undefined
  counts.kills++
  const copy = copyOf(recorded?.copies ?? [], point, calls)
  const [killed, copied] = [filesOf(slot.node.directory), copy && filesOf(copy.directory)]
  if (copy !== undefined) counts.compared++
  judge(sweep, point, calls[point.at - 1] ?? '', await verify(slot.node, life.history))
  return copied === undefined || killed === copied
    ? undefined
    : `${pointName(point)}: it left ${killed}, its copy is ${copied}`
}

function judge(sweep: Sweep, point: Point | Copy, call: string, found: readonly string[]): void {
  sweep.kinds.add(boundaryOf(call))
  if (found.length === 0) return
  sweep.counts['bad recoveries']++
  for (const problem of found) sweep.problems.push(`${pointName(point)} (${call}): ${problem}`)
  if (!('directory' in point) || sweep.counts['bad recoveries'] > keptMax) return
  const kept = join(keptDirectory, pointName(point).replaceAll(':', '-'))
  cpSync(point.directory, kept, { recursive: true })
  sweep.problems.push(`${pointName(point)}: its directory is kept in ${kept}`)
}

/** The copy of the place of a real kill, where that life had called the same until there as the copied one. */
function copyOf(copies: readonly Copy[], { at, action }: Point, calls: readonly string[]): Copy | undefined {
  const place = action === 'kill-before' ? at : at + 1
  const copy = copies.find((candidate) => candidate.at === place)
  const before = copies.filter((candidate) => candidate.at < place).map(({ call }) => boundaryOf(call))
  const isSameLife =
    before.join('\n') ===
    calls
      .slice(0, place - 1)
      .map(boundaryOf)
      .join('\n')
  return isSameLife ? copy : undefined
}

/** Their names and sizes. */
function filesOf(directory: string): string {
  return (
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .map((name) => ({ name, stat: statSync(join(directory, name)) }))
      .filter(({ stat }) => stat.isFile())
      // A lock says which process holds it, in as many digits as that takes.
      .map(({ name, stat }) =>
        name.startsWith('lock') ? boundaryOf(name) : `${boundaryOf(name)} ${stat.size}`,
      )
      .sort()
      .join(', ')
  )
}

/** A place to live in: one directory and its ports, one life at a time. */
export interface Slot {
  readonly ports: readonly number[]
  readonly library: string
  readonly control: string
  readonly node: ProcessNode
}

export async function makeSlots(lab: Lab, count: number): Promise<Slot[]> {
  const ports = await freePorts(3 * count)
  return Array.from({ length: count }, (_, i) => {
    const base = lab.makeDirectory(`slot-${i}`)
    const own = ports.slice(3 * i, 3 * i + 3)
    const node = newNode(join(base, 'n1'), own)
    return { ports: own, library: lab.library, control: join(base, 'control'), node }
  })
}

export interface Lived {
  readonly life: Life
  readonly calls: readonly string[]
  readonly isReached: boolean
  /** An end that the action does not explain. */
  readonly oddity: string | undefined
}

/** One phase from its prepared state, until it is over or the action has ended it. */
async function liveUntil(slot: Slot, prepared: readonly Prepared[], point: Point): Promise<Lived> {
  const { life, interposer } = beginPhase(slot, prepared[point.phase])
  interposer.arm(point.at, point.action)
  let oddity: string | undefined
  try {
    await phases[point.phase]?.run(life)
  } catch (error) {
    if (!(error instanceof NodeEnded) || interposer.fired === 0) oddity = String(error)
  }
  if (life.node.isRunning) await life.node.end('SIGKILL')
  slot.node.environment = {}
  const lived = { life, calls: interposer.calls(), isReached: interposer.fired > 0, oddity }
  interposer.close()
  return lived
}

/** The slot with a copy of the prepared directory, and a life that goes on from there under the interposer. */
export function beginPhase(slot: Slot, state: Prepared | undefined): { life: Life; interposer: Interposer } {
  if (state === undefined) throw new Error('every phase has a prepared state')
  const { node, library, control } = slot
  rmSync(node.directory, { recursive: true, force: true })
  cpSync(state.directory, node.directory, { recursive: true })
  const interposer = new Interposer(library, control, node.directory)
  // One thread of the pool: the order of calls is then nearly the same in every life.
  node.environment = { ...interposer.environment, UV_THREADPOOL_SIZE: '1' }
  return { life: new Life(node, structuredClone(state.history)), interposer }
}
