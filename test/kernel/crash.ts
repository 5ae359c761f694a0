// Kill at every call: the process dies just before, or just after, the n-th call of its life that changes a file of
// its directory, for every n. What it left is what a dying program leaves; the next start must make sense of it.
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SeededRandom } from '../../src/base/index.ts'
import { freePorts, type ProcessNode } from '../processes/harness.ts'
import { type Action, boundaryOf, Interposer } from './interposer.ts'
import {
  inParallel,
  type Lab,
  type Prepared,
  prepareLives,
  type SweepOptions,
  type SweepResult,
  untilMsOf,
  verify,
} from './lab.ts'
import { Life, NodeEnded, newNode, phases } from './life.ts'
import { compareWithStrace } from './strace.ts'

/** Lives differ a little in length: their timers. The points behind the longest are not reached. */
const beyond = 1.1

export interface Point {
  readonly phase: number
  readonly at: number
  readonly action: Action
  /** What stood there in the life that was counted; in another one it may be a neighbour. */
  readonly call: string
}

export function pointName({ phase, at, action }: Point): string {
  return `${phases[phase]?.name}:${at}:${action}`
}

export async function sweepCrashes(lab: Lab): Promise<SweepResult> {
  const { options } = lab
  const prepared = await prepareLives(lab)
  const slots = await makeSlots(lab, options.jobs)
  const all: Point[] = []
  let boundaries = 0
  for (const phase of phases.keys()) {
    const { calls, oddity } = await liveUntil(slots[0] as Slot, prepared, {
      phase,
      at: 0,
      action: 'nothing',
      call: '',
    })
    if (oddity !== undefined) throw new Error(`an undisturbed life: ${oddity}`)
    boundaries += calls.length
    for (let at = 1; at <= Math.ceil(calls.length * beyond); at++) {
      for (const action of ['kill-before', 'kill-after'] as const)
        all.push({ phase, at, action, call: calls[at - 1] ?? '' })
    }
  }
  const chosen = choosePoints(all, options, pointName)
  const problems = await compareWithStrace(slots[0] as Slot, prepared, lab.makeDirectory('strace'))
  const kinds = new Set<string>()
  let swept = 0
  let bad = 0
  await inParallel(chosen, options.jobs, untilMsOf(options), async (point, worker) => {
    const slot = slots[worker] as Slot
    const { calls, isReached, life, oddity } = await liveUntil(slot, prepared, point)
    if (oddity !== undefined) problems.push(`${pointName(point)}: ${oddity}`)
    if (!isReached) return
    swept++
    const last = calls[point.at - 1] ?? ''
    kinds.add(boundaryOf(last))
    const found = await verify(slot.node, life.history)
    if (found.length > 0) bad++
    for (const problem of found) problems.push(`${pointName(point)} (${last}): ${problem}`)
  })
  const counts = { calls: boundaries, points: swept, kinds: kinds.size, 'bad recoveries': bad }
  return { name: 'crash', counts, problems }
}

/** A place to live in: one directory and its ports, one life at a time. */
export interface Slot {
  readonly library: string
  readonly control: string
  readonly node: ProcessNode
}

export async function makeSlots(lab: Lab, count: number): Promise<Slot[]> {
  const ports = await freePorts(3 * count)
  return Array.from({ length: count }, (_, i) => {
    const base = lab.makeDirectory(`slot-${i}`)
    const node = newNode(join(base, 'n1'), ports.slice(3 * i, 3 * i + 3))
    return { library: lab.library, control: join(base, 'control'), node }
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

/** All of them in an order that the seed decides, or those that were asked for by name or call. */
export function choosePoints<Any extends Point>(
  all: readonly Any[],
  { seed, point: name, call }: SweepOptions,
  nameOf: (point: Any) => string,
): Any[] {
  const random = new SeededRandom(seed)
  return all
    .filter((point) => name === undefined || nameOf(point).startsWith(name))
    .filter((point) => call === undefined || new RegExp(call).test(point.call))
    .map((point) => ({ point, order: random.nextU32() }))
    .sort((left, right) => left.order - right.order)
    .map(({ point }) => point)
}
