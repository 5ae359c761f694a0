// For `node --test`: one JSON line for each test that fails, and nothing else.
import type { TestEvent } from 'node:test/reporters'

export interface TestFailure {
  readonly name: string
  readonly file: string
  readonly error: string
  readonly isTimeout: boolean
}

export default async function* failures(events: AsyncIterable<TestEvent>): AsyncIterable<string> {
  for await (const { type, data } of events) {
    if (type !== 'test:fail') continue
    const { error } = data.details
    const cause = error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : error.message
    const isTimeout = 'failureType' in error && error.failureType === 'testTimeoutFailure'
    const failure: TestFailure = { name: data.name, file: data.file ?? '', error: cause, isTimeout }
    yield `${JSON.stringify(failure)}\n`
  }
}
