// A file that was changed behind the program's back: the node names the file and the bytes, and does not guess.
import assert from 'node:assert/strict'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { openLmdbStore } from '../../src/io-node/index.ts'
import { bytes } from '../support/keys.ts'
import { eventually, growLog, type ProcessNode, planCluster, runToEnd, smallFiles } from './harness.ts'
import { Writers } from './writers.ts'

test('a damaged file is named with its bytes, and what can be rebuilt is rebuilt', async (t) => {
  const cluster = await planCluster(t, 1, smallFiles)
  const node = cluster.node(0)
  await node.startReady()
  const writers = new Writers(t, cluster.nodes, 32)
  await writers.more(200)
  await growLog(node, async () => (await node.status()).group.lowWaterMark > 300)
  await writers.stop()
  await node.end('SIGTERM')
  const whole = `${node.directory}.whole`
  cpSync(node.directory, whole, { recursive: true })
  const restore = (): void => {
    rmSync(node.directory, { recursive: true })
    cpSync(whole, node.directory, { recursive: true })
  }

  await t.test('a byte in the middle of the log', async () => {
    restore()
    const file = newest(node, 'wal', '.wal')
    // Not the end: records that were made durable later stand behind it.
    const at = Math.floor(lastUsedByte(file) / 2)
    flip(file, at)
    const text = await refused(node)
    assertNames(text, file, at)
  })

  await t.test('the last record, which only the store can tell was durable', async () => {
    restore()
    await node.startReady()
    await node.must('put', { key: bytes('last'), value: bytes('acknowledged') })
    await eventually('a store that has what the log has', async () => {
      const { lastIndex, durableAppliedIndex } = (await node.status()).group
      return durableAppliedIndex === lastIndex ? true : undefined
    })
    await node.end('SIGKILL')
    const file = newest(node, 'wal', '.wal')
    flip(file, lastUsedByte(file))
    // It may have been the first record of its segment: then nothing is left there that names the log's end.
    assert.match(await refused(node), /what was committed is gone from it|entries .* on are missing/)
  })

  await t.test('every copy of the hard state', async () => {
    restore()
    const file = join(node.directory, 'wal', 'hard-state')
    const size = statSync(file).size
    for (let at = 40; at < size; at += 64) flip(file, at)
    assertNames(await refused(node), file, 40)
  })

  await t.test('the identity', async () => {
    restore()
    const file = join(node.directory, 'identity')
    flip(file, 20)
    assertNames(await refused(node), file, 20)
  })

  await t.test('the log is gone', async () => {
    restore()
    rmSync(join(node.directory, 'wal'), { recursive: true })
    assert.match(await refused(node), /wal is gone or empty.*remove the member and add it again/s)
  })

  await t.test('the store is gone: it is rebuilt', async () => {
    restore()
    rmSync(join(node.directory, 'store'), { recursive: true })
    await node.startReady()
    await writers.check(node)
    await node.end('SIGTERM')
  })

  await t.test('a store that was closed in order is not read through', async () => {
    restore()
    await node.startReady()
    assert.doesNotMatch(node.program.stderr, /store-verified/)
    await node.end('SIGKILL')
  })

  await t.test(
    'a value in the store, while the program was dead: it is noticed, and the store rebuilt',
    async () => {
      restore()
      await node.startReady()
      await node.end('SIGKILL')
      await changeStore(node)
      await node.startReady()
      assert.match(node.program.stderr, /store-damaged.*does not hold what was written to it/)
      await writers.check(node)
      await node.end('SIGTERM')
    },
  )

  await t.test('pages of the store that end the process in its library: it is rebuilt before', async () => {
    restore()
    await node.startReady()
    await node.end('SIGKILL')
    makePagesNewer(node)
    await node.startReady()
    assert.match(node.program.stderr, /store-damaged.*newer than its root/)
    await writers.check(node)
    await node.end('SIGTERM')
  })

  await t.test('the same in a store that was closed in order: at the second start', async () => {
    restore()
    makePagesNewer(node)
    await node.startReady()
    // It ends with the next commit of the store, which may be before the answer.
    await node.must('put', { key: bytes('last'), value: bytes('in the log') }).catch(() => undefined)
    assert.notEqual((await node.ended()).signal, null)
    await node.startReady()
    assert.match(node.program.stderr, /store-damaged.*newer than its root/)
    await writers.check(node)
    await node.end('SIGTERM')
  })

  await t.test('the state was found wrong, and there is nobody to take another from', async () => {
    restore()
    writeFileSync(join(node.directory, 'state-lost'), '')
    assert.match(await refused(node), /found wrong, and there is no other voter to take it from/)
  })

  await t.test('the store is gone and the newest snapshot damaged: the one before serves', async () => {
    restore()
    rmSync(join(node.directory, 'store'), { recursive: true })
    const file = newest(node, 'snapshots', '')
    const at = Math.floor(statSync(file).size / 2)
    flip(file, at)
    await node.startReady()
    await writers.check(node)
    assertNames(node.program.stderr, file, at)
    await node.end('SIGTERM')
  })

  await t.test('the store is gone and every snapshot damaged', async () => {
    restore()
    rmSync(join(node.directory, 'store'), { recursive: true })
    for (const name of readdirSync(join(node.directory, 'snapshots'))) {
      const file = join(node.directory, 'snapshots', name)
      flip(file, Math.floor(statSync(file).size / 2))
    }
    assert.match(await refused(node), /no whole snapshot reaches that far\. Remove this member/)
  })
})

test('a member that was killed while its state was wrong takes it from the leader, and forgets no entry', async (t) => {
  const cluster = await planCluster(t, 3, smallFiles)
  await cluster.start()
  const writers = new Writers(t, cluster.nodes, 16)
  await writers.more(200)
  const [node] = await cluster.followers()
  assert.ok(node)
  await growLog(node, async () => (await node.status()).group.lowWaterMark > 200)
  await node.end('SIGKILL')
  writeFileSync(join(node.directory, 'state-lost'), '')
  await changeStore(node)
  await writers.more(100)
  node.start()
  await node.program.printed('state-repaired')
  await writers.more(100)
  await writers.stop()
  await cluster.agree()
  await writers.check(node)
  const { group } = await node.status()
  assert.deepEqual(group.problems, [])
  assert.equal(existsSync(join(node.directory, 'state-lost')), false)
})

/** Flips a bit of one value in the store of a node that does not run. */
async function changeStore(node: ProcessNode): Promise<void> {
  const store = await openLmdbStore(join(node.directory, 'store'))
  const [row] = store.range('revisions', {})
  assert.ok(row)
  const value = Uint8Array.from(row.value)
  value[value.length - 1] = (value.at(-1) ?? 0) ^ 0x40
  await store.commit([{ table: 'revisions', changes: [{ key: row.key, value }] }])
  await store.close()
}

/** The library takes a page that is newer than its root for a copy of its own, and writes to what it mapped to read. */
function makePagesNewer(node: ProcessNode): void {
  const file = join(node.directory, 'store', 'data.mdb')
  const content = readFileSync(file)
  const pageSize = content.readUInt32LE(48)
  for (let page = 2 * pageSize; page < content.length; page += pageSize) content[page + 13] = 1
  writeFileSync(file, content)
}

async function refused(node: ProcessNode): Promise<string> {
  const { code, stderr } = await runToEnd(node.arguments)
  assert.equal(code, 3, stderr)
  const text = stderr.trimEnd().split('\n').at(-1) ?? ''
  assert.match(text, /^quorate: /, 'the last line is for a human')
  return text
}

/** The text names the file and a range of bytes that holds `at`. */
function assertNames(text: string, file: string, at: number): void {
  assert.ok(text.includes(file), `${file} in ${text}`)
  const after = text.slice(text.indexOf(file))
  const range = /bytes \[(\d+), (\d+)\)/.exec(after)
  assert.ok(range !== null, `a byte range in ${after}`)
  const [first, end] = [Number(range[1]), Number(range[2])]
  assert.ok(first <= at && at < end, `byte ${at} in ${first} to ${end}`)
}

function newest(node: ProcessNode, folder: string, ending: string): string {
  const directory = join(node.directory, folder)
  const names = readdirSync(directory)
    .filter((name) => name.endsWith(ending))
    .sort()
  return join(directory, names.at(-1) ?? '')
}

function lastUsedByte(file: string): number {
  return readFileSync(file).findLastIndex((byte) => byte !== 0)
}

function flip(file: string, at: number): void {
  const content = readFileSync(file)
  content[at] = (content[at] ?? 0) ^ 0x40
  writeFileSync(file, content)
}
