import { parseArgs } from 'node:util'
import { Explorer, type Progress, renamingsOf } from './explorer.ts'
import { budgetNames, type Model, models } from './model.ts'
import { storyOf } from './story.ts'

/** Between two lines of progress. */
const progressEveryMs = 10_000
const statesAtOnce = 2_000

const usage = `usage: npm run explore -- [--model NAME|all] [--minutes N] [--states N]
models: ${models.map(({ name }) => name).join(' ')}`

export function explore(): void {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: 'all' },
      minutes: { type: 'string', default: '10' },
      states: { type: 'string', default: '20000000' },
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
  let total = 0
  for (const model of chosen) {
    console.log(describeModel(model))
    const progress = run(model, { minutes: minutes / chosen.length, statesMax })
    total += progress.states
    for (const violation of progress.violations) {
      process.exitCode = 1
      console.log(`VIOLATION of model ${model.name}: ${violation.rule}\n\n${storyOf(model, violation)}`)
    }
    console.log(`${model.name}: ${describe(progress)}`)
  }
  if (chosen.length > 1) console.log(`${total} states in all`)
}

function run(model: Model, bound: { minutes: number; statesMax: number }): Progress {
  const explorer = new Explorer(model)
  const startedAt = Date.now()
  let toldAt = startedAt
  while (explorer.advance(statesAtOnce)) {
    const now = Date.now()
    if (now - startedAt > bound.minutes * 60_000 || explorer.progress.states > bound.statesMax) break
    if (now - toldAt < progressEveryMs) continue
    toldAt = now
    console.log(`  ${Math.round((now - startedAt) / 1000)} s: ${describe(explorer.progress)}`)
  }
  return explorer.progress
}

function describe(progress: Progress): string {
  const { states, transitions, depth, violations, isExhausted, parts } = progress
  const end = isExhausted
    ? 'exhausted'
    : violations.length > 0
      ? 'stopped at a violation'
      : 'stopped at its bound'
  const made = `made of ${parts.nodes} node states, ${parts.networks} message sets, ${parts.histories} histories`
  const counts = `${states} states, ${transitions} transitions, depth ${depth}, ${violations.length} violations`
  return `${counts} (${end}; ${made})`
}

function describeModel(model: Model): string {
  const budgets = budgetNames
    .filter((name) => model.budgets[name] > 0)
    .map((name) => `${model.budgets[name]} ${name}`)
  const disk = model.isDiskSlow ? `slow disks with ${model.storageMax} operations under way` : 'instant disks'
  const symmetry = `${renamingsOf(model).length} renamings are one`
  const votes = model.hasPreVote ? 'pre-vote' : 'no pre-vote'
  return `${model.name}: ${model.nodes.length} nodes, terms to ${model.termMax}, ${budgets.join(', ')}, ${disk}, ${votes}, ${symmetry}`
}
