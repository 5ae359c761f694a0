// One bit changed on one of three nodes, with whole processes: the node must refuse its directory, or come to the state of
// the others and answer as they do. What it serves is compared with all that was acknowledged.
import { cpSync, rmSync } from 'node:fs'
import { SeededRandom } from '../../src/base/index.ts'
import { eventually } from '../processes/harness.ts'
import { type ByteClasses, logClasses, type Stretch, snapshotClasses, storeClasses } from './byte-classes.ts'
import { flipBit } from './flip-bit.ts'
import { contradictions } from './history.ts'
import { isOver, type Lab, type SweepResult, untilMsOf } from './lab.ts'
import { Refused } from './life.ts'
import { observe } from './observe.ts'
import { endTrio, isLikeTheOther, startTrio, type Trio } from './trio.ts'

const flipsComplete = 300
const answerDeadlineMs = 60_000
const dataExit = 3

type Outcome = 'refused' | 'agrees' | 'crashed' | 'silent'

export async function sweepClusterFlips(lab: Lab): Promise<SweepResult> {
  const { options } = lab
  const trio = await startTrio(lab)
  const random = new SeededRandom(options.seed)
  const untilMs = untilMsOf(options)
  const counts = { flips: 0, refused: 0, agrees: 0, crashed: 0, silent: 0 }
  const problems: string[] = []
  await trio.life.grow('first')
  while (counts.flips < flipsComplete && (counts.flips === 0 || !isOver(untilMs))) {
    await live(trio, counts.flips)
    await trio.follower.end('SIGKILL')
    const { what, file, at, bit } = drawFlip(trio.follower.directory, random)
    const { outcome, text } = await meet(trio, () => flipBit(file, at, bit))
    counts.flips++
    counts[outcome]++
    if (outcome === 'silent') problems.push(`${what}, ${file} byte ${at} bit ${bit}: ${text}`)
    if (options.isVerbose) console.log(`  ${what}: ${outcome} ${text.slice(0, 150)}`)
  }
  await endTrio(trio)
  return { name: 'cluster-flips', counts, problems, next: options.seed + 1 }
}

async function live({ life }: Trio, round: number): Promise<void> {
  try {
    await life.put(`round/${round}`)
    await life.put('a')
    if (round % 5 === 4) await life.compact(2)
    if (round % 4 === 3) await life.grow(`round/${round}`)
  } catch (error) {
    // A change of leader: its outcome is unknown, which the history knows.
    if (!(error instanceof Refused)) throw error
  }
}

/** Starts it on the changed directory; on the unchanged one again when it did not take that. */
async function meet(trio: Trio, change: () => void): Promise<{ outcome: Outcome; text: string }> {
  const { follower } = trio
  const whole = `${follower.directory}.whole`
  cpSync(follower.directory, whole, { recursive: true })
  try {
    change()
    follower.start()
    try {
      await eventually('an end or the same state', () => hasEndedOrAgrees(trio), answerDeadlineMs)
    } catch (error) {
      return { outcome: 'silent', text: String(error) }
    }
    const found = follower.isRunning ? await readUnlessItEnds(trio) : undefined
    if (found !== undefined)
      return { outcome: found.length === 0 ? 'agrees' : 'silent', text: found.join('; ') }
    const { code, signal } = await follower.ended()
    const text = `code ${code}, signal ${signal}: ${follower.program.stderr.trimEnd().split('\n').at(-1)}`
    // It said nothing to anybody from the changed directory, so the copy of before is no old one.
    rmSync(follower.directory, { recursive: true })
    cpSync(whole, follower.directory, { recursive: true })
    follower.start()
    await follower.ready()
    return { outcome: code === dataExit ? 'refused' : 'crashed', text }
  } finally {
    rmSync(whole, { recursive: true, force: true })
  }
}

/** What it contradicts; nothing when it ends while it is read: what was changed may be noticed as late as that. */
async function readUnlessItEnds({ follower, life }: Trio): Promise<readonly string[] | undefined> {
  try {
    await follower.ready()
    return contradictions(life.history, await observe(follower.endpoint))
  } catch (error) {
    await follower.ended().catch(() => {
      throw error
    })
    return undefined
  }
}

async function hasEndedOrAgrees(trio: Trio): Promise<true | undefined> {
  return trio.follower.isRunning ? await isLikeTheOther(trio) : true
}

function drawFlip(
  directory: string,
  random: SeededRandom,
): { what: string; file: string; at: number; bit: number } {
  const classes: ByteClasses = new Map([
    ...logClasses(directory),
    ...snapshotClasses(directory),
    ...storeClasses(directory, ''),
  ])
  const names = [...classes.keys()]
  const what = names[random.between(0, names.length)] as string
  const stretches = classes.get(what) as Stretch[]
  const { file, first, end } = stretches[random.between(0, stretches.length)] as Stretch
  return { what, file: `${directory}/${file}`, at: random.between(first, end), bit: random.between(0, 8) }
}
