// Runs test files of the tree it stands in, one after the other, and prints one JSON line for each test that fails.
// Started by `checks.ts` in a copy of the tree.
import { join } from 'node:path'
import { run } from 'node:test'

export interface TestFailure {
  readonly name: string
  readonly file: string
  readonly error: string
  readonly isTimeout: boolean
}

const [timeoutMs = '', ...paths] = process.argv.slice(2)
const files = paths.map((path) => join(process.cwd(), path))
const results = run({ files, concurrency: 1, timeout: Number(timeoutMs) })
results.on('test:fail', ({ name, file = '', details: { error } }) => {
  process.exitCode = 1
  const cause = error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : error.message
  const isTimeout = 'failureType' in error && error.failureType === 'testTimeoutFailure'
  const failure: TestFailure = { name, file, error: cause, isTimeout }
  process.stdout.write(`${JSON.stringify(failure)}\n`)
})
results.resume()
