// The life of a follower that is behind what the log still has: it takes in a snapshot, and dies at its n-th call that
// changes a file. Then it is started again as it is, must come to the state of the others by itself, and is left behind
// again for the next point. The other two serve all the time.
import { join } from 'node:path'
import { eventually, type ProcessNode } from '../processes/harness.ts'
import { contradictions } from './history.ts'
import { type Action, boundaryOf, Interposer } from './interposer.ts'
import { inParallel, type Lab, type SweepResult, untilMsOf } from './lab.ts'
import { Refused } from './life.ts'
import { observe } from './observe.ts'
import { choosePoints, nextPlace } from './points.ts'
import { endTrio, isLikeTheOther, startTrio, type Trio } from './trio.ts'

const agreeDeadlineMs = 60_000
const installed = '"event":"snapshot-installed"'
const beyond = 1.1

interface Visit {
  readonly calls: readonly string[]
  readonly isReached: boolean
  readonly problems: readonly string[]
}

export async function sweepInstalls(lab: Lab): Promise<SweepResult> {
  const { options } = lab
  const trio = await startTrio(lab)
  const untilMs = untilMsOf(options)
  const { calls, problems: first } = await visit(lab, trio, 0, 'nothing')
  const problems = [...first]
  const points = (['kill-before', 'kill-after'] as const).flatMap((action) =>
    Array.from({ length: Math.ceil(calls.length * beyond) }, (_, i) => {
      return { action, at: i + 1, call: calls[i] ?? '' }
    }),
  )
  const chosen = choosePoints(points, options, ({ at, action }) => `install:${at}:${action}`)
  const kinds = new Set<string>()
  let swept = 0
  let bad = 0
  const taken = await inParallel(chosen, 1, untilMs, async ({ point: { at, action } }) => {
    const found = await visit(lab, trio, at, action)
    if (!found.isReached) return
    swept++
    const call = found.calls[at - 1] ?? ''
    kinds.add(boundaryOf(call))
    if (found.problems.length > 0) bad++
    for (const problem of found.problems) problems.push(`install:${at}:${action} (${call}): ${problem}`)
  })
  await endTrio(trio)
  return {
    name: 'install',
    counts: { points: swept, 'bad recoveries': bad },
    facts: { calls: calls.length, kinds: kinds.size },
    problems,
    next: nextPlace(chosen, taken),
  }
}

/** One point: left behind, started under the interposer, killed, started again, compared. */
async function visit(lab: Lab, trio: Trio, at: number, action: Action): Promise<Visit> {
  const { life, follower } = trio
  await follower.end('SIGKILL')
  const { lastIndex } = (await life.node.status()).group
  await leaveBehind(trio, lastIndex)
  const interposer = new Interposer(lab.library, join(lab.directory, 'install-control'), follower.directory)
  interposer.arm(at, action)
  follower.environment = { ...interposer.environment, UV_THREADPOOL_SIZE: '1' }
  follower.start()
  const goal = (await life.node.status()).group.lastIndex
  const problems: string[] = []
  try {
    await eventually(
      'a follower that caught up or died',
      () => hasCaughtUpOrDied(follower, goal),
      agreeDeadlineMs,
    )
    follower.environment = {}
    if (interposer.fired > 0) {
      await follower.ended()
      follower.start()
    }
    problems.push(...(await agreeAtLast(trio, interposer)))
    const isReached = interposer.fired > 0
    if (!isReached && !follower.program.stderr.includes(installed)) problems.push('no snapshot was installed')
    return { calls: interposer.calls(), isReached, problems }
  } catch (error) {
    return {
      calls: interposer.calls(),
      isReached: interposer.fired > 0,
      problems: [...problems, String(error)],
    }
  } finally {
    interposer.close()
  }
}

/**
 * What the follower contradicts once it is like another. The call at which it is to be killed may come as late as here, in
 * the background of a follower that has caught up, also while its state is being read; it is then started and read again.
 */
async function agreeAtLast(trio: Trio, interposer: Interposer): Promise<readonly string[]> {
  const { follower } = trio
  const before = interposer.fired
  try {
    return await agree(trio, () => interposer.fired > before && !follower.isRunning)
  } catch (error) {
    if (interposer.fired === before) throw error
    await follower.ended()
    follower.start()
    return await agree(trio, () => false)
  }
}

async function agree(trio: Trio, isKilled: () => boolean): Promise<readonly string[]> {
  const { life, follower } = trio
  await follower.ready()
  await eventually('the same state', () => isKilled() || isLikeTheOther(trio), agreeDeadlineMs)
  if (isKilled()) throw new Error('killed while it was compared')
  return contradictions(life.history, await observe(follower.endpoint))
}

/** Only a snapshot can bring it back: the others have released what it needs, and hold no more of it in memory. */
async function leaveBehind({ life, cluster }: Trio, lastIndex: number): Promise<void> {
  for (;;) {
    try {
      await life.put('left behind')
      await life.grow('behind')
      if ((await life.node.status()).group.lowWaterMark > lastIndex) break
    } catch (error) {
      if (!(error instanceof Refused)) throw error
    }
  }
  const others = cluster.live
  await Promise.all(others.map((node) => node.end('SIGKILL')))
  for (const node of others) node.start()
  await Promise.all(others.map((node) => node.ready()))
}

async function hasCaughtUpOrDied(follower: ProcessNode, goal: number): Promise<true | undefined> {
  if (!follower.isRunning) return true
  const { group } = await follower.status()
  return group.appliedIndex >= goal ? true : undefined
}
