// Finds every *.test.ts and runs it under node:test; arguments are substrings of paths to choose by.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const wanted = process.argv.slice(2)
const files = ['src', 'test']
  .flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path)),
  )
  .filter((path) => path.endsWith('.test.ts'))
  .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
  .sort()

if (files.length === 0) {
  console.error(`no test file matches: ${wanted.join(' ')}`)
  process.exit(2)
}
const result = spawnSync(
  process.execPath,
  ['--test', '--test-timeout=240000', `--test-concurrency=${availableParallelism()}`, ...files],
  {
    stdio: 'inherit',
  },
)
process.exit(result.status ?? 1)
