// Packs the package, installs the tarball into an empty project as its users would, and uses it: the executable, the
// embedded node in memory and on disk, and its types. Prints what it did; exit code 1 when a step fails.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const program = `
import assert from 'node:assert/strict'
import { openQuorate, isQuorateError } from 'quorate'

for (const directory of [undefined, './data']) {
  const quorate = await openQuorate(directory === undefined ? {} : { directory })
  const { revision } = await quorate.put('/services/web/1', 'up')
  await quorate.put('/services/web/2', 'down')
  assert.equal(new TextDecoder().decode((await quorate.get('/services/web/1')).value), 'up')
  assert.equal((await quorate.list('/services/')).length, 2)
  const seen = []
  for await (const event of quorate.watch('/services/', { prefix: true, fromRevision: revision })) {
    seen.push(event.kind)
    if (seen.length === 2) break
  }
  assert.deepEqual(seen, ['put', 'put'])
  const lease = await quorate.grantLease(60)
  await quorate.put('leased', 'x', { lease })
  await quorate.revokeLease(lease)
  assert.equal(await quorate.get('leased'), undefined)
  await assert.rejects(() => quorate.put('', 'x'), (error) => isQuorateError(error, 'key-empty'))
  assert.match(quorate.clientUrl, /^http:\\/\\/127\\.0\\.0\\.1:\\d+$/)
  await quorate.close()
}
const again = await openQuorate({ directory: './data', listen: false })
assert.equal((await again.list('/services/')).length, 2)
assert.equal(again.clientUrl, undefined)
await again.close()
console.log('embedded: in memory, on disk, and again on its data')
`

const project = mkdtempSync(join(tmpdir(), 'quorate-package-'))
try {
  main()
  await runExecutable()
  console.log('1 passed, 0 failed')
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  console.log('0 passed, 1 failed')
  process.exitCode = 1
} finally {
  rmSync(project, { recursive: true, force: true })
}

function main(): void {
  run('npm', ['pack', '--pack-destination', project], resolve('.'))
  const tarball = readdirSync(project).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack made no tarball')
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'user', private: true, type: 'module' }),
  )
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', join(project, tarball)], project)
  mkdirSync(join(project, 'source'))
  writeFileSync(join(project, 'source', 'use.mjs'), program)
  run(process.execPath, [join('source', 'use.mjs')], project)
}

function run(command: string, args: readonly string[], cwd: string): void {
  console.log(`$ ${command} ${args.join(' ')}`)
  const result = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (result.status === 0) return
  throw new Error(`${command} ended with ${result.status}:\n${result.stdout}\n${result.stderr}`)
}

/** The installed executable says its version, serves, and ends when it is asked to. */
async function runExecutable(): Promise<void> {
  const executable = join(project, 'node_modules', '.bin', 'quorate')
  run(process.execPath, [executable, '--version'], project)
  const urls = ['--listen-client-urls', 'http://127.0.0.1:0', '--listen-peer-urls', 'http://127.0.0.1:0']
  const args = [...urls, '--log-level', 'error']
  const child = spawn(process.execPath, [executable, ...args], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let log = ''
  await new Promise<void>((done, failed) => {
    const deadline = setTimeout(() => failed(new Error(`the executable does not serve:\n${log}`)), 30_000)
    child.stdout.setEncoding('utf8')
    child.stdout.on('data', (text: string) => {
      log += text
      if (!log.includes('ready to serve client requests')) return
      clearTimeout(deadline)
      done()
    })
    child.on('exit', (code) => failed(new Error(`the executable ended with ${code}:\n${log}`)))
  })
  child.removeAllListeners('exit')
  const ended = new Promise<number | null>((done) => {
    child.on('exit', done)
  })
  child.kill('SIGTERM')
  const code = await ended
  if (code !== 0) throw new Error(`after SIGTERM the executable ended with ${code}:\n${log}`)
  console.log('the executable served and stopped')
}
