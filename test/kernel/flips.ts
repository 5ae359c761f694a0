// One bit changed in a data directory that nobody has open, in each class of bytes in turn. A single node must refuse it,
// or repair it, or not care: state, history, log and hard state as without the change. Anything else is a silent acceptance.
import { type ChildProcess, fork } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SeededRandom } from '../../src/base/index.ts'
import { eventually } from '../processes/harness.ts'
import { freePorts } from '../support/ports.ts'
import { type ByteClasses, logClasses, type Stretch, snapshotClasses, storeClasses } from './byte-classes.ts'
import type { Flip, FlipAnswer } from './flip-worker.ts'
import { inParallel, type Lab, prepareLives, type SweepResult, untilMsOf } from './lab.ts'
import { Life, lifeFlags, newNode } from './life.ts'

const flipsComplete = 10_000
const answerDeadlineMs = 60_000
const dataCodes: readonly string[] = [
  'data-damaged',
  'data-wrong-cluster',
  'data-wiped',
  'format-unsupported',
]

/** `unread`: not noticed where docs/operating says that nobody looks, in a store between an orderly stop and a start. */
type Verdict = 'refused' | 'repaired' | 'harmless' | 'crashed' | 'unread' | 'silent'

/** One directory to change bits in, and what its bytes are. */
interface Ground {
  readonly name: string
  readonly directory: string
  readonly classes: ByteClasses
}

export async function sweepFlips(lab: Lab): Promise<SweepResult> {
  const { options } = lab
  const memory = lab.makeDirectory('grounds')
  const grounds = await prepareGrounds(lab, memory)
  const workers = Array.from({ length: options.jobs }, (_, i) => new FlipWorker(join(memory, `worker-${i}`)))
  lab.onEnd(() => {
    for (const worker of workers) worker.close()
  })
  const untouched = new Map<string, { state: string; applied: number }>()
  for (const ground of grounds) {
    const found = await (workers[0] as FlipWorker).ask(ground.directory, undefined, 0)
    if (found.how !== 'open') throw new Error(`the unchanged directory ${ground.name} is refused`)
    untouched.set(ground.name, found)
  }
  const random = new SeededRandom(options.seed)
  const tallies = new Map<string, Record<Verdict, number>>()
  const problems: string[] = []
  const points = options.point === undefined ? draw(grounds, random) : [parse(grounds, options.point)]
  await inParallel(points, options.jobs, untilMsOf(options), async (point, worker) => {
    const { state, applied } = untouched.get(point.ground.name) ?? { state: '', applied: 0 }
    const found = await (workers[worker] as FlipWorker).ask(point.ground.directory, point, applied)
    const verdict = judge(found, state, point.ground.name)
    const tally = tallies.get(point.class) ?? {
      refused: 0,
      repaired: 0,
      harmless: 0,
      crashed: 0,
      unread: 0,
      silent: 0,
    }
    tally[verdict]++
    tallies.set(point.class, tally)
    if (verdict === 'silent')
      problems.push(`${nameOf(point)} (${point.class}): ${JSON.stringify(found)} instead of ${state}`)
    if (verdict === 'crashed' && options.isVerbose) {
      console.log(`  crashed: ${nameOf(point)} (${point.class}): ${JSON.stringify(found)}`)
    }
  })
  for (const worker of workers) worker.close()
  return { name: 'flips', counts: report(tallies), problems, next: options.seed + 1 }
}

interface FlipPoint extends Stretch {
  readonly ground: Ground
  readonly class: string
  readonly at: number
  readonly bit: number
}

function nameOf({ ground, file, at, bit }: FlipPoint): string {
  return `${ground.name}:${file}:${at}:${bit}`
}

function parse(grounds: readonly Ground[], name: string): FlipPoint {
  const [groundName, file = '', at, bit] = name.split(':')
  const ground = grounds.find((candidate) => candidate.name === groundName)
  if (ground === undefined) throw new Error(`${name} is no point of this sweep`)
  return { ground, class: 'named', file, first: 0, end: 0, at: Number(at), bit: Number(bit) }
}

/** Class after class, so that each has its share however long the sweep runs. */
function draw(grounds: readonly Ground[], random: SeededRandom): FlipPoint[] {
  const classes = grounds.flatMap((ground) =>
    [...ground.classes].map(([name, stretches]) => ({ ground, name, stretches })),
  )
  const points: FlipPoint[] = []
  while (points.length < flipsComplete) {
    for (const { ground, name, stretches } of classes) {
      const stretch = stretches[random.between(0, stretches.length)] as Stretch
      const at = random.between(stretch.first, stretch.end)
      points.push({ ...stretch, ground, class: name, at, bit: random.between(0, 8) })
    }
  }
  return points
}

function judge(found: FlipAnswer | Crash, untouched: string, ground: string): Verdict {
  if (found.how === 'crashed') return 'crashed'
  if (found.how === 'refused') return dataCodes.includes(found.code) ? 'refused' : 'crashed'
  if (found.state !== untouched) return ground === 'orderly' ? 'unread' : 'silent'
  return found.isNoticed ? 'repaired' : 'harmless'
}

function report(tallies: ReadonlyMap<string, Record<Verdict, number>>): Record<string, number> {
  const sums = { flips: 0, refused: 0, repaired: 0, harmless: 0, crashed: 0, unread: 0, silent: 0 }
  for (const [name, tally] of [...tallies].sort(([left], [right]) => (left < right ? -1 : 1))) {
    const all = Object.values(tally).reduce((sum, count) => sum + count, 0)
    const parts = Object.entries(tally).filter(([, count]) => count > 0)
    console.log(`  ${name}: ${all} (${parts.map(([verdict, count]) => `${verdict} ${count}`).join(', ')})`)
    sums.flips += all
    for (const verdict of ['refused', 'repaired', 'harmless', 'crashed', 'unread', 'silent'] as const) {
      sums[verdict] += tally[verdict]
    }
  }
  return sums
}

/** Three states of one directory: closed in order, killed with all applied in its store, and that without its store. */
async function prepareGrounds(lab: Lab, memory: string): Promise<Ground[]> {
  const closed = (await prepareLives(lab)).at(-1)
  if (closed === undefined) throw new Error('there is no prepared state')
  const orderly = join(memory, 'orderly')
  const killed = join(memory, 'killed')
  const storeless = join(memory, 'storeless')
  cpSync(closed.directory, orderly, { recursive: true })
  cpSync(closed.directory, killed, { recursive: true })
  const node = newNode(killed, await freePorts(3))
  const life = new Life(node, structuredClone(closed.history))
  await life.start()
  await life.put('a')
  await life.grow('killed')
  await eventually('a store that has what the log has', async () => {
    const { lastIndex, durableAppliedIndex } = (await node.status()).group
    return durableAppliedIndex === lastIndex ? true : undefined
  })
  await node.end('SIGKILL')
  node.close()
  cpSync(killed, storeless, { recursive: true })
  rmSync(join(storeless, 'store'), { recursive: true })
  return [
    {
      name: 'killed',
      directory: killed,
      classes: new Map([...logClasses(killed), ...storeClasses(killed, '')]),
    },
    { name: 'storeless', directory: storeless, classes: snapshotClasses(storeless) },
    { name: 'orderly', directory: orderly, classes: storeClasses(orderly, ', closed in order') },
  ]
}

class FlipWorker {
  readonly #place: string
  #process: ChildProcess | undefined
  #asked = 0

  constructor(place: string) {
    this.#place = place
  }

  async ask(from: string, point: FlipPoint | undefined, applied: number): Promise<FlipAnswer | Crash> {
    this.#process ??= start()
    const child = this.#process
    const change = point === undefined ? undefined : { file: point.file, at: point.at, bit: point.bit }
    // A new place each time: lmdb knows its environments by their path.
    const to = `${this.#place}-${this.#asked++}`
    const flip: Flip = { from, to, flags: lifeFlags, applied, change }
    const found = await new Promise<FlipAnswer | Crash>((resolve) => {
      const timer = setTimeout(() => resolve({ how: 'crashed', text: 'no answer' }), answerDeadlineMs)
      const settle = (value: FlipAnswer | Crash): void => {
        clearTimeout(timer)
        child.removeAllListeners()
        resolve(value)
      }
      child.once('message', (message) => settle(message as FlipAnswer))
      child.once('exit', (code, signal) => settle({ how: 'crashed', text: `code ${code}, signal ${signal}` }))
      child.send(flip)
    })
    if (found.how === 'crashed') {
      this.close()
      rmSync(to, { recursive: true, force: true })
    }
    return found
  }

  close(): void {
    this.#process?.removeAllListeners()
    this.#process?.kill('SIGKILL')
    this.#process = undefined
  }
}

interface Crash {
  readonly how: 'crashed'
  readonly text: string
}

function start(): ChildProcess {
  // lmdb writes about what it finds to the standard error.
  return fork(join(import.meta.dirname, 'flip-worker.ts'), { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
}
