import { parseArgs } from 'node:util'
import { countRun } from '../totals.ts'
import { Explorer, type Progress, renamingsOf } from './explorer.ts'
import { budgetNames, type Model, models } from './model.ts'
import { storyOf } from './story.ts'

/** Between two lines of progress. */
const progressEveryMs = 10_000
const statesAtOnce = 2_000

const usage = `usage: npm run explore -- [--model NAME|all] [--minutes N] [--states N] [--totals]
models: ${models.map(({ name }) => name).join(' ')}`

export function explore(): void {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: 'all' },
      minutes: { type: 'string', default: '10' },
      states: { type: 'string', default: '20000000' },
      totals: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const chosen = models.filter(({ name }) => values.model === 'all' || name === values.model)
  const minutes = Number(values.minutes)
  const statesMax = Number(values.states)
  if (values.help || chosen.length === 0 || !(minutes > 0) || !(statesMax > 0)) {
    console.error(usage)
    process.exitCode = values.help ? 0 : 2
    return
  }
  const total = { states: 0, transitions: 0, violations: 0 }
  const end = Date.now() + minutes * 60_000
  for (const [slot, model] of chosen.entries()) {
    console.log(describeModel(model))
    // What an exhausted model leaves of its share goes to those after it.
    const endAt = Date.now() + (end - Date.now()) / (chosen.length - slot)
    const progress = run(model, { endAt, statesMax })
    total.states += progress.states
    total.transitions += progress.transitions
    total.violations += progress.violations.length
    for (const violation of progress.violations) {
      process.exitCode = 1
      console.log(`VIOLATION of model ${model.name}: ${violation.rule}\n\n${storyOf(model, violation)}`)
    }
    console.log(`${model.name}: ${describe(model, progress)}`)
  }
  if (chosen.length > 1) {
    console.log(
      `${total.states} states, ${total.transitions} transitions, ${total.violations} violations in all`,
    )
  }
  if (values.totals) countRun('explorer', total)
}

function run(model: Model, bound: { endAt: number; statesMax: number }): Progress {
  const explorer = new Explorer(model)
  const startedAt = Date.now()
  let toldAt = startedAt
  while (explorer.advance(statesAtOnce)) {
    const now = Date.now()
    if (now > bound.endAt || explorer.progress.states > bound.statesMax) break
    if (now - toldAt < progressEveryMs) continue
    toldAt = now
    console.log(`  ${Math.round((now - startedAt) / 1000)} s: ${describe(model, explorer.progress)}`)
  }
  return explorer.progress
}

function describe(model: Model, progress: Progress): string {
  const { states, transitions, depth, violations, isExhausted, parts } = progress
  const end = isExhausted
    ? 'exhausted'
    : violations.length > 0
      ? 'stopped at a violation'
      : 'stopped at its bound'
  const made = `made of ${parts.nodes} node states, ${parts.networks} message sets, ${parts.histories} histories`
  const counts = `${states} states, ${transitions} transitions, depth ${depth}, ${violations.length} violations`
  // Of n fingerprints of 64 bits two are equal by chance with n^2 / 2^65; the least of r sums makes it r times that.
  const chance = (renamingsOf(model).length * states * states) / 2 ** 65
  return `${counts} (${end}; ${made}; a state was missed by chance with ${chance.toExponential(0)})`
}

function describeModel(model: Model): string {
  const budgets = budgetNames
    .filter((name) => model.budgets[name] > 0)
    .map((name) => `${model.budgets[name]} ${name}`)
  const disk = model.isDiskSlow ? `slow disks with ${model.storageMax} operations under way` : 'instant disks'
  const bounds = `terms to ${model.termMax}, ${budgets.join(', ')}`
  const symmetry = `${renamingsOf(model).length} renamings are one`
  const votes = model.hasPreVote ? 'pre-vote' : 'no pre-vote'
  return `${model.name}: ${model.nodes.length} nodes, ${bounds}, ${disk}, ${votes}, ${symmetry}`
}
