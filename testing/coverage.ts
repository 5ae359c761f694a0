// npm run coverage: lines and branches that the tests of the rooms below take in those rooms, each place that none takes,
// and exit code 1 when a room has less than its share. A room's own tests must do it: what only a whole node takes by
// chance does not count.
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const rooms = ['raft', 'write-ahead-log', 'segmented-log', 'snapshot', 'store']
const branchShareMin = 0.95

interface Counts {
  lines: number
  linesTaken: number
  branches: number
  branchesTaken: number
}

const directory = mkdtempSync(join(tmpdir(), 'quorate-coverage-'))
try {
  const report = join(directory, 'lcov')
  const result = spawnSync(
    process.execPath,
    [
      '--test',
      '--experimental-test-coverage',
      ...rooms.map((room) => `--test-coverage-include=src/${room}/*.ts`),
      '--test-coverage-exclude=**/*.test.ts',
      '--test-coverage-exclude=src/store/conformance*.ts',
      '--test-reporter=lcov',
      `--test-reporter-destination=${report}`,
      ...rooms.flatMap((room) => globSync(`src/${room}/*.test.ts`)),
    ],
    { stdio: 'inherit' },
  )
  if (result.status !== 0) console.log('a test failed; see: node testing/run-tests.ts')
  const isEnough = show(readFileSync(report, 'utf8'))
  process.exitCode = result.status === 0 && isEnough ? 0 : 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}

/** Prints the report, in the format of lcov (SF file, DA line and count, BRDA line, block, branch and count). */
function show(report: string): boolean {
  const counts = new Map<string, Counts>(
    rooms.map((room) => [room, { lines: 0, linesTaken: 0, branches: 0, branchesTaken: 0 }]),
  )
  let path = ''
  for (const row of report.split('\n')) {
    const [kind, rest = ''] = row.split(/:(.*)/)
    if (kind === 'SF') path = rest
    const room = counts.get(path.split(/[\\/]/).at(-2) ?? '')
    if (room === undefined || (kind !== 'DA' && kind !== 'BRDA')) continue
    const fields = rest.split(',')
    const isTaken = Number(kind === 'DA' ? fields[1] : fields[3]) > 0
    if (kind === 'DA') {
      room.lines++
      if (isTaken) room.linesTaken++
      continue
    }
    room.branches++
    if (isTaken) room.branchesTaken++
    else console.log(`${path}:${fields[0]} no test takes this way: ${lineOf(path, Number(fields[0]))}`)
  }
  let isEnough = true
  for (const [room, { lines, linesTaken, branches, branchesTaken }] of counts) {
    const isShort = branchesTaken < branches * branchShareMin || branches === 0
    if (isShort) isEnough = false
    console.log(
      `${room}: ${share(branchesTaken, branches)} of ${branches} branches, ${share(linesTaken, lines)} of ${lines} lines` +
        (isShort ? `, less than ${branchShareMin * 100} % of the branches` : ''),
    )
  }
  return isEnough
}

function lineOf(path: string, line: number): string {
  return readFileSync(path, 'utf8').split('\n')[line - 1]?.trim() ?? ''
}

function share(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)} %`
}
