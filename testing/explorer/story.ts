import { unreachable } from '../../src/base/index.ts'
import type { PathStep, Violation } from './explorer.ts'
import type { Model } from './model.ts'

/** The path to a violation as a case of src/raft/testdata: written there, with REWRITE=1, it tells what happened. */
export function storyOf(model: Model, violation: Violation): string {
  const { electionTicks, heartbeatTicks, inflightMax, appendBytesMax } = model.options
  const spare = model.nodes.filter((id) => !model.voters.includes(id))
  const ticks = `electionTicks=${electionTicks} heartbeatTicks=${heartbeatTicks}`
  const options = `${ticks} inflightMax=${inflightMax} appendBytesMax=${appendBytesMax}`
  const lines = [
    `# ${violation.rule}`,
    `cluster ${model.voters.join(',')} ${spare.length > 0 ? `spare=${spare.join(',')} ` : ''}${options}`,
    ...model.nodes
      .filter((_, slot) => model.logs[slot] !== undefined)
      .map((id, slot) => `log ${id} ${model.logs[slot]} term=${model.term}`),
    ...(model.isDiskSlow ? model.nodes.map((id) => `storage ${id} hold`) : []),
    ...violation.path.map((step) => commandOf(model, step)),
  ]
  return lines.map((line) => (line.startsWith('#') ? `${line}\n` : `${line}\n----\n\n`)).join('')
}

function commandOf(model: Model, { node, kind, argument, message }: PathStep): string {
  switch (kind) {
    case 'deliver':
      return `receive ${message}`
    case 'disk':
      return `storage ${node} one`
    case 'readLog':
      return 'settle'
    case 'election':
    case 'candidacy':
    case 'lease':
    case 'heartbeat':
    case 'quorum':
    case 'retry':
      return `pass ${node} ${kind}`
    case 'propose':
      return `propose ${node} v`
    case 'read':
      return `read ${node} 1`
    case 'crash':
      return `crash ${node}\n----\n\nstart ${node}`
    case 'compact':
      return `compact ${node}`
    case 'transfer':
      return `transfer ${node} ${model.nodes[argument]}`
    case 'change': {
      const { voters = [], learners = [] } = model.changes[argument] ?? {}
      const learning = learners.length > 0 ? ` learners=${learners.join(',')}` : ''
      return `change ${node} voters=${voters.join(',')}${learning}`
    }
    default:
      return unreachable(kind, 'an input has a command')
  }
}
