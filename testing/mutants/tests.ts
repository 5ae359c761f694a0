// Runs test files of the tree it stands in, one after the other, and prints the name of each and one JSON line for each
// test that fails.
// Started by `checks.ts` in a copy of the tree: tests.ts TIMEOUT_MS FILE...
import { once } from 'node:events'
import { join } from 'node:path'
import { run } from 'node:test'

export interface TestFailure {
  readonly name: string
  /** The test file, in the tree; the test itself may be declared elsewhere. */
  readonly file: string
  readonly error: string
  readonly isTimeout: boolean
}

const [timeoutMs = '', ...files] = process.argv.slice(2)
for (const file of files) {
  process.stdout.write(`${file}\n`)
  const results = run({ files: [join(process.cwd(), file)], concurrency: 1, timeout: Number(timeoutMs) })
  results.on('test:fail', ({ name, details: { error } }) => {
    process.exitCode = 1
    const cause = error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : error.message
    const isTimeout = 'failureType' in error && error.failureType === 'testTimeoutFailure'
    // A file that fails as a whole is named by its path.
    const failure: TestFailure = {
      name: name.replace(join(process.cwd(), '/'), ''),
      file,
      error: cause,
      isTimeout,
    }
    process.stdout.write(`${JSON.stringify(failure)}\n`)
  })
  results.resume()
  await once(results, 'close')
}
