// Power cuts: the node lives on a mounted ext4 image and is stopped just before chosen calls that change a file; then
// the image is copied, and the node goes on. A copy has what was synced and nothing else: the pages and the metadata that
// were only in memory are not in the file. It is mounted (which replays the journal), a node is started on it, and all
// that was acknowledged before the copy began must be there.
//
// What this proves: at every call of the life, losing ALL that is not synced loses nothing that was acknowledged. The
// process is stopped while the image is copied, so no call is half done and the copy is one moment, not many. That a part
// of what is not synced survives, and torn writes, are left to the simulated disk, which takes any subset.

import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SeededRandom } from '../../src/base/index.ts'
import { freePorts } from '../support/ports.ts'
import type { History } from './history.ts'
import { Image } from './image.ts'
import { boundaryOf, Interposer } from './interposer.ts'
import {
  inParallel,
  isOver,
  type Lab,
  type Prepared,
  prepareLives,
  type SweepResult,
  untilMsOf,
  verify,
} from './lab.ts'
import { Life, newNode, phases } from './life.ts'
import type { WorkerOpener } from './opener.ts'
import { liveInSteps } from './steps.ts'

const imageBytes = 40 * 1024 * 1024
/** Of a life that is looked at in a bounded time: one call in so many, on average. */
const strideMean = 8

interface Cut {
  readonly name: string
  readonly call: string
  readonly path: string
  readonly history: History
}

export async function sweepPowerCuts(lab: Lab): Promise<SweepResult> {
  const { options } = lab
  const prepared = await prepareLives(lab)
  const random = new SeededRandom(options.seed)
  const untilMs = untilMsOf(options)
  const ports = await freePorts(3 * (options.jobs + 1))
  const openers = lab.makeOpeners()
  const kinds = new Set<string>()
  const problems: string[] = []
  let images = 0
  let losses = 0
  for (let round = 0; round === 0 || (!options.isComplete && !isOver(untilMs)); round++) {
    for (const phase of order(random)) {
      if (isOver(untilMs)) break
      const wanted = options.point?.split(':')
      if (wanted !== undefined && wanted[0] !== phases[phase]?.name) continue
      const next = (at: number): number => {
        if (wanted !== undefined) return at < Number(wanted[1]) ? Number(wanted[1]) : 0
        return at + (options.isComplete ? 1 : random.between(1, 2 * strideMean))
      }
      const cuts = await cutLife(lab, prepared[phase], { phase, next, ports: ports.slice(0, 3) })
      await inParallel(cuts, options.jobs, untilMs, async (cut, worker) => {
        images++
        const opening = { number: images, ports: ports.slice(3 * (worker + 1)), opener: openers[worker] }
        const found = await openCut(lab, cut, opening)
        kinds.add(boundaryOf(cut.call))
        if (found.length > 0) losses++
        for (const problem of found) problems.push(`${cut.name} (before ${cut.call}): ${problem}`)
      })
      for (const { path } of cuts) rmSync(path, { force: true })
    }
    if (options.point !== undefined) break
  }
  for (const opener of openers) opener.end()
  const counts = { images, losses }
  return { name: 'cuts', counts, facts: { kinds: kinds.size }, problems, next: options.seed + 1 }
}

interface CutPlan {
  readonly phase: number
  /** The call to stop at next; not beyond the last one: no further stop. */
  next(at: number): number
  readonly ports: readonly number[]
}

/** One phase on an image; returns its copies. */
async function cutLife(
  lab: Lab,
  state: Prepared | undefined,
  { phase, next, ports }: CutPlan,
): Promise<Cut[]> {
  if (state === undefined) throw new Error('every phase has a prepared state')
  const image = Image.make(lab, 'cut-life', imageBytes)
  image.mount()
  const node = newNode(join(image.mountPoint, 'n1'), ports)
  cpSync(state.directory, node.directory, { recursive: true })
  execFileSync('sync', ['-f', image.mountPoint])
  const interposer = new Interposer(lab.library, join(lab.directory, 'cut-control'), node.directory)
  node.environment = interposer.environment
  const life = new Life(node, structuredClone(state.history))
  const cuts: Cut[] = []
  await liveInSteps({ life, interposer, phase, next }, (at) => {
    const path = join(lab.directory, `cut-${phase}-${at}`)
    const history = structuredClone(life.history)
    image.copyTo(path)
    cuts.push({ name: `${phases[phase]?.name}:${at}`, call: interposer.calls()[at - 1] ?? '', path, history })
  })
  interposer.close()
  node.close()
  image.unmount()
  return cuts
}

async function openCut(
  lab: Lab,
  cut: Cut,
  { number, ports, opener }: { number: number; ports: readonly number[]; opener: WorkerOpener | undefined },
): Promise<string[]> {
  const image = new Image(lab, cut.path, join(lab.directory, `cut-mounted-${number}`))
  image.mount()
  try {
    return await verify(newNode(join(image.mountPoint, 'n1'), ports.slice(0, 3)), cut.history, opener)
  } finally {
    image.unmount()
  }
}

function order(random: SeededRandom): number[] {
  return [...phases.keys()]
    .map((phase) => ({ phase, order: random.nextU32() }))
    .sort((left, right) => left.order - right.order)
    .map(({ phase }) => phase)
}
