import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom } from '../base/index.ts'
import {
  isLinearizable,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
  type TimedCall,
} from './check-linearizable.ts'

type RegisterCall = TimedCall<RegisterInput, RegisterOutput>
const model = registerModel('0')

/** "w1 [0,5]" writes 1, "r1" reads 1, "s1>2 y" swaps, "?" for an unknown outcome. */
function parse(...lines: string[]): RegisterCall[] {
  return lines.map((line) => {
    const [, kind = '', argument = '', verdict, from, end] =
      /^([wrs])(\S+)(?: ([yn]))? \[(\d+),(\d+|\?)\]$/.exec(line) ?? []
    const calledAt = Number(from)
    const returnedAt = Number(end)
    const answered = (output: RegisterOutput): RegisterCall['answer'] =>
      end === '?' ? undefined : { output, returnedAt }
    if (kind === 'w') return { input: { kind: 'write', value: argument }, calledAt, answer: answered(null) }
    if (kind === 'r') return { input: { kind: 'read' }, calledAt, answer: answered(argument) }
    const [before = '', after = ''] = argument.split('>')
    return { input: { kind: 'swap', from: before, to: after }, calledAt, answer: answered(verdict === 'y') }
  })
}

const accepted: [string, string[]][] = [
  ['nothing', []],
  ['in order', ['w1 [0,1]', 'r1 [2,3]']],
  ['overlapping calls in either order', ['w1 [0,9]', 'r0 [1,2]', 'r1 [3,4]']],
  ['touching intervals overlap', ['w1 [5,6]', 'r1 [4,5]']],
  ['a swap that fails, then one that succeeds', ['s1>2 n [0,1]', 'w1 [2,3]', 's1>2 y [4,5]', 'r2 [6,7]']],
  ['an unknown write that happened late', ['w1 [0,?]', 'r0 [5,6]', 'r1 [7,8]']],
  ['an unknown write that never happened', ['w1 [0,?]', 'r0 [5,6]', 'r0 [7,8]']],
  ['the last choice must be taken back', ['w1 [0,9]', 'w2 [0,9]', 'r2 [1,8]', 'r1 [10,11]']],
  ['an unknown swap explains a read', ['w1 [0,1]', 's1>2 n [2,?]', 'r2 [5,6]']],
]
const rejected: [string, string[]][] = [
  ['a stale read', ['w1 [0,1]', 'r0 [2,3]']],
  ['a read from nowhere', ['r7 [0,1]']],
  ['a read that goes back', ['w1 [0,9]', 'r1 [1,2]', 'r0 [3,4]']],
  ['two swaps from one value', ['s0>1 y [0,9]', 's0>2 y [0,9]']],
  ['a swap that should have failed', ['w1 [0,1]', 's0>2 y [2,3]']],
  [
    'an unknown write takes effect once',
    ['w1 [0,?]', 'r1 [1,2]', 'w2 [3,4]', 'r1 [5,6]', 'w3 [7,8]', 'r1 [9,10]'],
  ],
  ['an unknown write seen before it was called', ['r1 [0,1]', 'w1 [2,?]']],
]

for (const [story, lines] of accepted) {
  test(`accepted: ${story}`, () => assert.equal(isLinearizable(model, parse(...lines)), true))
}
for (const [story, lines] of rejected) {
  test(`rejected: ${story}`, () => assert.equal(isLinearizable(model, parse(...lines)), false))
}

function drawCalls(random: SeededRandom, size: number): RegisterCall[] {
  let state = '0'
  return Array.from({ length: size }, (_, point) => {
    const value = String(random.between(0, 4))
    const inputs: RegisterInput[] = [
      { kind: 'write', value },
      { kind: 'read' },
      { kind: 'swap', from: String(random.between(0, 4)), to: value },
    ]
    const input = random.pick(inputs)
    const calledAt = point - 3 * random.unit()
    if (random.chance(0.1) && random.chance(0.5)) return { input, calledAt, answer: undefined }
    const output: RegisterOutput =
      input.kind === 'read' ? state : input.kind === 'write' ? null : state === input.from
    if (input.kind === 'write') state = input.value
    else if (output === true && input.kind === 'swap') state = input.to
    const answer = random.chance(0.1) ? undefined : { output, returnedAt: point + 3 * random.unit() }
    return { input, calledAt, answer }
  })
}

test('random linearizable histories are accepted, and with one read of a value never written rejected', () => {
  for (let seed = 0; seed < 150; seed++) {
    const calls = drawCalls(new SeededRandom(seed), 30)
    assert.equal(isLinearizable(model, calls), true, `seed ${seed}`)
    const position = calls.findIndex((call) => call.input.kind === 'read' && call.answer !== undefined)
    const read = calls[position]
    if (read?.answer === undefined) continue
    calls[position] = { ...read, answer: { ...read.answer, output: 'never' } }
    assert.equal(isLinearizable(model, calls), false, `seed ${seed}`)
  }
})

test('the search agrees with trying every order, on small histories with false values', () => {
  let rejections = 0
  for (let seed = 0; seed < 300; seed++) {
    const random = new SeededRandom(seed)
    const calls = drawCalls(random, 5).map((call): RegisterCall => {
      const { answer } = call
      if (answer === undefined || call.input.kind === 'write' || random.chance(0.6)) return call
      const output = call.input.kind === 'read' ? String(random.between(0, 4)) : random.chance(0.5)
      return { ...call, answer: { ...answer, output } }
    })
    const expected = bruteForce(calls, '0')
    if (!expected) rejections++
    assert.equal(isLinearizable(model, calls), expected, `seed ${seed}`)
  }
  assert.ok(rejections > 30, String(rejections))
})

function bruteForce(left: readonly RegisterCall[], state: string): boolean {
  if (left.every((call) => call.answer === undefined)) return true
  const deadline = Math.min(...left.map((call) => call.answer?.returnedAt ?? Number.POSITIVE_INFINITY))
  return left.some((call) => {
    if (call.calledAt > deadline) return false
    const next = model.step(state, call.input, call.answer?.output)
    return (
      next !== undefined &&
      bruteForce(
        left.filter((other) => other !== call),
        next,
      )
    )
  })
}
