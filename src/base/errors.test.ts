import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { ErrorWithoutStack } from './index.ts'

/** The lines of the stack that name a place. */
function framesOf(error: Error): string[] {
  return (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '))
}

function restoreLimit(t: TestContext): void {
  const { stackTraceLimit } = Error
  t.after(() => {
    Error.stackTraceLimit = stackTraceLimit
  })
}

test('an error without a stack has its message and no frames', () => {
  const error = new ErrorWithoutStack('a length of 2^31')
  assert.ok(error instanceof Error)
  assert.equal(error.message, 'a length of 2^31')
  assert.deepEqual(framesOf(error), [])
})

test('neither has one of a class of its own, made deep in calls', () => {
  class Fault extends ErrorWithoutStack {}
  const below = (depth: number): Error => (depth === 0 ? new Fault('deep') : below(depth - 1))
  assert.deepEqual(framesOf(below(20)), [])
})

test('the limit of stacks is afterwards what it was before, whatever that was', (t) => {
  restoreLimit(t)
  for (const limit of [Error.stackTraceLimit, 0, 1, 3, 50, Number.POSITIVE_INFINITY]) {
    Error.stackTraceLimit = limit
    assert.deepEqual(framesOf(new ErrorWithoutStack('no stack')), [], `limit ${limit}`)
    assert.equal(Error.stackTraceLimit, limit)
  }
})

test('an ordinary error that is made afterwards has as many frames as the limit allows', (t) => {
  restoreLimit(t)
  const below = (depth: number): Error => (depth === 0 ? new Error('deep') : below(depth - 1))
  for (const limit of [3, 10]) {
    Error.stackTraceLimit = limit
    const without = new ErrorWithoutStack('no stack')
    assert.equal(framesOf(below(20)).length, limit)
    assert.deepEqual(framesOf(without), [], 'not later either')
  }
})
