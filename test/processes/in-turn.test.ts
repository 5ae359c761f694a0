// `npm run bench:in-turn`: what it refuses, what it prints, and that no end of it leaves a server behind.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually, temporaryDirectory } from './harness.ts'

const root = join(import.meta.dirname, '../..')
const command = `${process.execPath} ${join(root, 'src/cli/main.ts')}`
const small = ['--rounds', '1', '--ms', '100', '--keys', '100', '--load', '2x2']

interface Run {
  readonly child: ChildProcess
  /** Where the servers live. */
  readonly directory: string
  stdout: string
  stderr: string
}

test('two servers are measured, and the second is told by the first', async (t) => {
  const run = start(t, ['--rounds', '2', ...small.slice(2), `a=${command}`, `b=${command}`])
  assert.equal(await codeOf(run), 0, run.stderr)
  const windows = [...run.stderr.matchAll(/^(\w), round (\d): /gm)].map(
    ([, name, round]) => `${name}${round}`,
  )
  assert.deepEqual(windows, ['a1', 'b1', 'b2', 'a2'])
  for (const text of ['b / a', 'requestsPerSecond', 'p99Ms', 'a request, all threads', 'a request, main']) {
    assert.ok(run.stdout.includes(text), `${text} is not in\n${run.stdout}`)
  }
  await requireNothingLeft(run)
  assert.deepEqual(readdirSync(run.directory), [])
})

test('a server that does not start ends those that have', async (t) => {
  const run = start(t, [...small, `a=${command}`, 'b=no-such-program'])
  assert.equal(await codeOf(run), 1)
  assert.match(run.stderr, /no-such-program did not become ready/)
  await requireNothingLeft(run)
  assert.deepEqual(readdirSync(run.directory), [])
})

test('SIGINT ends servers and load', async (t) => {
  const run = start(t, [...small, '--rounds', '1000', `a=${command}`, `b=${command}`])
  await eventually('window', () => (run.stderr.includes('b, round 1:') ? true : undefined))
  assert.ok(processesOf(run).length > 2, 'both servers')
  run.child.kill('SIGINT')
  assert.equal(await codeOf(run), 130, run.stderr)
  await requireNothingLeft(run)
})

for (const [line, problem] of [
  ['', /^no server is named/],
  ['quorate', /^quorate is not NAME=COMMAND/],
  ['a=', /^a= is not NAME=COMMAND/],
  ['=none', /^=none is not NAME=COMMAND/],
  ['a=none a=other', /^two servers have one name/],
  ['--rounds 0 a=none', /^--rounds is at least 1/],
  ['--ms soon a=none', /^--ms is no whole number/],
  ['--keys -1 a=none', /^--keys is at least 1/],
  ['--load 100 a=none', /^--load is CONNECTIONSxSTREAMS/],
  ['--load 0x1 a=none', /^--load is CONNECTIONSxSTREAMS/],
  ['--operation range-all a=none', /^no operation is called range-all/],
  ['--round 3 a=none', /^unknown option --round/],
] as const) {
  test(`refused: ${line}`, async (t) => {
    const run = start(t, line === '' ? [] : line.split(' '))
    assert.equal(await codeOf(run), 2)
    assert.match(run.stderr, problem)
    assert.match(run.stderr, /^npm run bench:in-turn/m)
  })
}

function start(t: TestContext, args: readonly string[]): Run {
  const directory = temporaryDirectory(t)
  const child = spawn(process.execPath, [join(root, 'bench/in-turn.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: directory },
  })
  t.after(() => child.kill('SIGTERM'))
  const run: Run = { child, directory, stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      run[name] += text
    })
  }
  return run
}

async function codeOf({ child }: Run): Promise<number> {
  const [code] = await once(child, 'close')
  return code
}

/** Whatever it started has the directory in its environment. What was killed may take a moment to be gone. */
async function requireNothingLeft(run: Run): Promise<void> {
  await eventually('end of all', () => (processesOf(run).length === 0 ? true : undefined))
}

function processesOf({ directory }: Run): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => environmentOf(pid).split('\0').includes(`TMPDIR=${directory}`))
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    // It ended while it was looked at, or is not ours.
    return ''
  }
}
