// Attacks in a process of their own, all at once: `process.ts NAMES PLAN`, both as JSON. Prints `prepared`, begins with the
// first byte that it reads, prints their reports, by name, and ends with its input.
import { once } from 'node:events'
import { type AttackName, type AttackPlan, prepareAttack } from './attacks.ts'

const [namesText = '', plan = ''] = process.argv.slice(2)
const names = JSON.parse(namesText) as AttackName[]
const attacks = await Promise.all(names.map((name) => prepareAttack(name, JSON.parse(plan) as AttackPlan)))
console.log('prepared')
await once(process.stdin, 'data')
const reports = await Promise.all(attacks.map((run) => run()))
console.log(JSON.stringify(Object.fromEntries(reports.map((report, i) => [names[i], report]))))
await once(process.stdin, 'end')
process.exit()
