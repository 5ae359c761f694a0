// Fuzzes every decoder in process:
//   npm run fuzz -- [--minutes 1] [--seed N] [--only NAME] [--jobs N] [--keep] [--replay FILE] [--totals]
// See --help. Exit code 1 when something was found.
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { bytesFromHex } from '../../src/base/index.ts'
import { countRun } from '../../testing/totals.ts'
import { addToCorpus, writeFinding } from './corpus.ts'
import { currentInput, type Report, type Share, sharedBytes } from './report.ts'
import { tryInput } from './target.ts'
import { allTargets } from './targets.ts'

const help = `npm run fuzz -- [options]

Changes bytes that the encoders made and gives them to every decoder: messages of clients and peers, log, snapshot and
state on disk, flags. Each input must be read or be refused with a code of the decoder's list; what was read must be the
same after writing and reading it again; no input may take longer than 100 ms or much more memory than it has bytes.

  --minutes N    how long, all targets together (default 1)
  --seed N       the same inputs again, as far as time allows (default: drawn, and printed)
  --only NAME    the targets whose name contains NAME
  --jobs N       threads (default: all cores)
  --keep         add inputs that went a new way to the corpus (test/fuzz/testdata)
  --replay FILE  try one finding again
  --totals       add the figures to docs/reliability-totals.json
  --list         name the targets`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    keep: { type: 'boolean', default: false },
    replay: { type: 'string' },
    totals: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
/** A thread that stays with one input for so long hangs. */
const hangMs = 20_000
const progressEveryMs = 10_000

const targets = await allTargets()
const names = targets.map(({ name }) => name).filter((name) => name.includes(values.only))
if (values.help) console.log(help)
else if (values.list) console.log(names.join('\n'))
else if (values.replay !== undefined) await replay(values.replay)
else await fuzz()

async function replay(path: string): Promise<void> {
  const text = readFileSync(path, 'utf8')
  const input = bytesFromHex(text.split('\n').find((line) => !line.startsWith('#')) ?? '')
  const target = targets.find(({ name }) => path.includes(name))
  if (target === undefined) throw new Error(`the name of ${path} is of no target`)
  const outcome = await tryInput(target, input)
  console.log(`${target.name}: ${JSON.stringify(outcome)}`)
  process.exitCode = outcome.kind === 'finding' ? 1 : 0
}

async function fuzz(): Promise<void> {
  const seed = Number(values.seed)
  const jobs = Math.max(1, Math.min(Number(values.jobs), names.length))
  const minutes = Number(values.minutes)
  if (names.length === 0 || !Number.isFinite(seed + jobs + minutes) || minutes <= 0) {
    console.error(help)
    process.exitCode = 2
    return
  }
  console.log(`${names.length} targets, seed ${seed}, ${minutes} min on ${jobs} threads`)
  const reports: Report[] = []
  const startedAt = performance.now()
  const progress = setInterval(() => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    console.log(`${seconds} s: ${reports.length} of ${names.length} targets, ${inputsOf(reports)} inputs`)
  }, progressEveryMs)
  const sliceMs = (minutes * 60_000 * jobs) / names.length
  const shares = Array.from({ length: jobs }, (_, job) => names.filter((_name, i) => i % jobs === job))
  await Promise.all(shares.map((share) => runShare(share, seed, sliceMs, (report) => reports.push(report))))
  clearInterval(progress)
  conclude(reports, seed, (performance.now() - startedAt) / 1000)
}

/** Runs the targets of one thread; after a hang the thread is ended and another goes on behind the target. */
async function runShare(
  share: readonly string[],
  seed: number,
  sliceMs: number,
  onReport: (report: Report) => void,
): Promise<void> {
  let left = [...share]
  while (left.length > 0) {
    const hung = await runThread({ names: left, seed, sliceMs, keep: values.keep }, (report) => {
      left = left.filter((name) => name !== report.name)
      onReport(report)
    })
    if (hung === undefined) return
    const finding = { target: hung.name, what: `hangs for more than ${hangMs} ms`, input: hung.input }
    onReport({ name: hung.name, inputs: 0, refused: 0, ways: 0, elapsedMs: 1, findings: [finding], kept: [] })
    left = left.filter((name) => name !== hung.name)
  }
}

/** Undefined when the thread came to its end. */
function runThread(
  share: Omit<Share, 'memory'>,
  onReport: (report: Report) => void,
): Promise<{ name: string; input: Uint8Array } | undefined> {
  const memory = new SharedArrayBuffer(sharedBytes)
  const current = currentInput(memory)
  const workerData: Share = { ...share, memory }
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData })
  return new Promise((resolve, reject) => {
    let lastCount = -1
    const watch = setInterval(() => {
      const { count } = current
      if (count !== lastCount) {
        lastCount = count
        return
      }
      clearInterval(watch)
      const { target, input } = current.read()
      worker.terminate().then(() => resolve({ name: share.names[target] as string, input }), reject)
    }, hangMs)
    worker.on('message', onReport)
    worker.on('error', reject)
    worker.on('exit', () => {
      clearInterval(watch)
      resolve(undefined)
    })
  })
}

function conclude(reports: readonly Report[], seed: number, seconds: number): void {
  const findings = reports.flatMap((report) => report.findings)
  for (const report of [...reports].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const rate = report.inputs / report.elapsedMs
    const refused = (100 * report.refused) / Math.max(1, report.inputs)
    console.log(
      `${report.name.padEnd(30)} ${String(report.inputs).padStart(9)} inputs ${rate.toFixed(1).padStart(6)} k/s  ` +
        `${refused.toFixed(0).padStart(3)} % refused  ${report.ways} ways`,
    )
    if (values.keep) addToCorpus(report.name, report.kept)
  }
  for (const { target, what, input } of findings) {
    console.log(
      `FOUND ${target}: ${what}\n  again: npm run fuzz -- --replay ${writeFinding(target, what, input)}`,
    )
  }
  const count = (pattern: RegExp): number => findings.filter(({ what }) => pattern.test(what)).length
  const hangs = count(/^(hangs|takes)/)
  const memory = count(/^allocates/)
  const inputs = inputsOf(reports)
  if (values.totals) countRun('fuzzing', { inputs, findings: findings.length, realHours: seconds / 3600 })
  console.log(
    `${reports.length} targets, ${inputs} inputs in ${seconds.toFixed(0)} s, seed ${seed}: ` +
      `${findings.length - hangs - memory} wrong, ${hangs} hangs, ${memory} memory`,
  )
  if (findings.length > 0) process.exitCode = 1
}

function inputsOf(reports: readonly Report[]): number {
  return reports.reduce((sum, { inputs }) => sum + inputs, 0)
}
