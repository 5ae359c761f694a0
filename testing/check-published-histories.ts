// Runs the search for linearizability on histories that others recorded and judged: those that the Go module
// github.com/anishathalye/porcupine carries in test_data (Jepsen's runs of etcd, one register each; and a store with get,
// put and append), with the verdicts of its own tests. Nothing of them is kept here.
//   npm run check-published-histories -- [--directory FOLDER OF THE MODULE]
// Without a folder Go fetches the module. Exit code 1 when a verdict differs or stays unknown, 2 when there is nothing.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  partitionCalls,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
  type SequentialModel,
  searchLinearization,
  type TimedCall,
} from '../src/simulator/index.ts'

const moduleName = 'github.com/anishathalye/porcupine@v1.3.1'
/** Of the value that was never written. */
const nothing = 'nil'
/** The hardest of these histories needs far fewer. */
const stepsMax = Number(process.env.MAX ?? 3_000_000)

interface Opened<Input> {
  readonly input: Input
  readonly calledAt: number
}

/** Calls by process; the line number is the time. What never returns stays without an answer. */
class HistoryReader<Input, Output> {
  readonly #open = new Map<string, Opened<Input>>()
  readonly #calls: TimedCall<Input, Output>[] = []

  invoke(process: string, input: Input, calledAt: number): void {
    const left = this.#open.get(process)
    if (left !== undefined) this.#calls.push({ ...left, answer: undefined })
    this.#open.set(process, { input, calledAt })
  }

  answer(process: string, output: Output, returnedAt: number): void {
    const call = this.#open.get(process)
    this.#open.delete(process)
    if (call !== undefined) this.#calls.push({ ...call, answer: { output, returnedAt } })
  }

  calls(): TimedCall<Input, Output>[] {
    return [...this.#calls, ...[...this.#open.values()].map((call) => ({ ...call, answer: undefined }))]
  }
}

/** `INFO  jepsen.util - 3 :invoke :cas [1 2]`; a read that timed out has happened at no time. */
function readJepsen(text: string): TimedCall<RegisterInput, RegisterOutput>[] {
  const reader = new HistoryReader<RegisterInput, RegisterOutput>()
  for (const [time, line] of text.split('\n').entries()) {
    const [, process = '', type, action, value = ''] =
      /^INFO\s+jepsen\.util\s+-\s+(\d+)\s+:(\w+)\s+:(\w+)\s+(.*?)\s*$/.exec(line) ?? []
    if (type === 'invoke') {
      const [from = '', to = ''] = value.slice(1, -1).split(/\s+/)
      const swap: RegisterInput = { kind: 'swap', from, to }
      const input: RegisterInput = action === 'read' ? { kind: 'read' } : { kind: 'write', value }
      reader.invoke(process, action === 'cas' ? swap : input, time)
    } else if (type === 'ok' || (type === 'fail' && action === 'cas')) {
      reader.answer(process, action === 'read' ? value : action === 'cas' ? type === 'ok' : null, time)
    }
  }
  return reader.calls()
}

interface KeyInput {
  readonly kind: 'get' | 'put' | 'append'
  readonly key: string
  readonly value: string
}

/** A value that grew by appending; equal values are the same object, so that states are compared by number. */
interface Value {
  readonly id: number
  readonly text: string
}

function createKeyModel(): SequentialModel<Value, KeyInput, string> {
  const values = new Map<string, Value>()
  const intern = (name: string, text: string): Value => {
    const value = values.get(name) ?? { id: values.size, text }
    values.set(name, value)
    return value
  }
  return {
    initial: intern('', ''),
    key: ({ id }) => String(id),
    isRead: ({ kind }) => kind === 'get',
    step: (state, { kind, value }, output) => {
      if (kind === 'get') return output === undefined || output === state.text ? state : undefined
      return kind === 'put' ? intern(` ${value}`, value) : intern(`${state.id} ${value}`, state.text + value)
    },
  }
}

/** `{:process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"}` */
function readKeyValue(text: string): TimedCall<KeyInput, string>[] {
  const reader = new HistoryReader<KeyInput, string>()
  for (const [time, line] of text.split('\n').entries()) {
    const [, process = '', type, kind = '', key = '', value = ''] =
      /^\{:process (\d+), :type :(\w+), :f :(get|put|append), :key "(.*)", :value (?:nil|"(.*)")\}$/.exec(
        line,
      ) ?? []
    const input = { kind: kind as KeyInput['kind'], key, value }
    if (type === 'invoke') reader.invoke(process, input, time)
    else if (type === 'ok') reader.answer(process, value, time)
  }
  return reader.calls()
}

interface Judged {
  readonly name: string
  readonly calls: number
  readonly steps: number
  readonly verdict: string
  readonly expected: string
}

function judge<State, Input, Output>(
  name: string,
  model: SequentialModel<State, Input, Output>,
  parts: readonly (readonly TimedCall<Input, Output>[])[],
  isRight: boolean,
): Judged {
  const results = parts.map((part) => searchLinearization(model, part, stepsMax))
  const verdicts = new Set(results.map(({ verdict }) => verdict))
  const verdict = verdicts.has('not linearizable')
    ? 'not linearizable'
    : verdicts.has('unknown')
      ? 'unknown'
      : 'linearizable'
  return {
    name,
    calls: parts.reduce((sum, part) => sum + part.length, 0),
    steps: results.reduce((sum, { steps }) => sum + steps, 0),
    verdict,
    expected: isRight ? 'linearizable' : 'not linearizable',
  }
}

function findDirectory(): string | undefined {
  const { stdout } = spawnSync('go', ['mod', 'download', '-json', moduleName], { encoding: 'utf8' })
  if (stdout === null || stdout === '') return undefined
  return (JSON.parse(stdout) as { Dir?: string }).Dir
}

function judgeAll(directory: string): Judged[] {
  const read = (...path: string[]): string => readFileSync(join(directory, ...path), 'utf8')
  const tests = read('porcupine_test.go')
  const judged: Judged[] = []
  for (const [, number = '', isRight] of tests.matchAll(/checkJepsen\(t, (\d+), (true|false)\)/g)) {
    const name = `etcd_${number.padStart(3, '0')}.log`
    const calls = readJepsen(read('test_data', 'jepsen', name))
    judged.push(judge(name, registerModel(nothing), [calls], isRight === 'true'))
  }
  for (const [, name = '', isRight] of tests.matchAll(/checkKv\(t, "(\S+)", (true|false), true\)/g)) {
    const calls = readKeyValue(read('test_data', 'kv', `${name}.txt`))
    const parts = partitionCalls(calls, ({ input }) => [input.key])
    judged.push(judge(`${name}.txt`, createKeyModel(), parts, isRight === 'true'))
  }
  const files = ['jepsen', 'kv'].flatMap((folder) => readdirSync(join(directory, 'test_data', folder)))
  const left = files.filter((file) => !judged.some(({ name }) => name === file))
  if (left.length > 0) console.log(`without a verdict of their own: ${left.join(' ')}`)
  return judged
}

const { values } = parseArgs({ options: { directory: { type: 'string' } } })
const directory = values.directory ?? findDirectory()
if (directory === undefined) {
  console.error(
    `published histories: ${moduleName} is missing and Go cannot fetch it; name its folder by --directory`,
  )
  process.exit(2)
}
const judged = judgeAll(directory)
const wrong = judged.filter(({ verdict, expected }) => verdict !== expected)
for (const { name, verdict, expected } of wrong) console.log(`${name}: ${verdict}, published as ${expected}`)
const right = judged.filter(({ expected }) => expected === 'linearizable').length
const calls = judged.reduce((sum, one) => sum + one.calls, 0)
const steps = judged.reduce((sum, one) => sum + one.steps, 0)
console.log(
  `histories ${judged.length}  linearizable ${right}  not ${judged.length - right}  calls ${calls}  steps ${steps}` +
    `  hardest ${Math.max(0, ...judged.map((one) => one.steps))} steps  verdicts that differ ${wrong.length}` +
    `  processor ${(process.cpuUsage().user / 1e6).toFixed(1)} s`,
)
if (judged.length === 0) process.exit(2)
if (wrong.length > 0) process.exitCode = 1
