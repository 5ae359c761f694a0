// Attacks in a process of their own, all at once: `process.ts NAMES PLAN`, both as JSON. Prints their reports, by name.
import { type AttackName, type AttackPlan, runAttack } from './attacks.ts'

const [names = '', plan = ''] = process.argv.slice(2)
const reports = (JSON.parse(names) as AttackName[]).map(async (name) => [
  name,
  await runAttack(name, JSON.parse(plan) as AttackPlan),
])
console.log(JSON.stringify(Object.fromEntries(await Promise.all(reports))))
process.exit()
