// Judges the checkers of histories by the meaning of their words: random histories of up to 7 calls, some right and some
// changed, with calls of unknown outcome and calls that overlap and touch; each checker must say what trying all orders
// says. Also `npm run check-checkers -- --histories 100000 --from 1`. Exit code 1 when two verdicts differ.
import { parseArgs } from 'node:util'
import { compareCheckers } from '../src/simulator/testing/compare-checkers.ts'

const { values } = parseArgs({
  options: { histories: { type: 'string', default: '100000' }, from: { type: 'string', default: '1' } },
})
const count = Number(values.histories)
const from = Number(values.from)
if (!Number.isSafeInteger(count) || !Number.isSafeInteger(from) || count < 1) {
  console.error('usage: --histories COUNT --from SEED')
  process.exit(2)
}
const { checkers, disagreements, unknown, overlapping } = compareCheckers(from, count)
for (const { checker, accepted, rejected } of checkers) {
  console.log(`${checker}: accepted ${accepted}  rejected ${rejected}`)
}
for (const line of disagreements.slice(0, 20)) console.log(line)
const seconds = (process.cpuUsage().user / 1e6).toFixed(1)
console.log(
  `histories ${count} from seed ${from}  with unknown outcomes ${unknown}  with overlapping calls ${overlapping}` +
    `  disagreements ${disagreements.length}  processor ${seconds} s`,
)
const isVacuous = checkers.some(({ accepted, rejected }) => accepted === 0 || rejected === 0)
if (disagreements.length > 0 || isVacuous) process.exitCode = 1
