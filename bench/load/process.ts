// One scenario in a process of its own, like any client: `process.ts NAME PLAN`, the plan as JSON. Prints "begun" when it
// counts and its report when it has ended; the end of its input tells it to stop.
import { once } from 'node:events'
import { type ScenarioName, scenarios } from './scenarios.ts'

const [name = '', plan = ''] = process.argv.slice(2)
const run = scenarios[name as ScenarioName] as (plan: unknown, control: object) => Promise<unknown>
const stop = once(process.stdin.resume(), 'end').then(() => process.stdin.destroy())
const control = { begun: () => console.log('begun'), stop }
run(JSON.parse(plan), control).then(
  (report) => {
    console.log(JSON.stringify(report))
    process.stdin.destroy()
  },
  (error: unknown) => {
    console.error(`${name}: ${String(error)}`)
    process.exit(1)
  },
)
