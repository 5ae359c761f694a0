import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { type TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { open } from 'lmdb'
import { type MediumUnderTest, runConformance } from '../../testing/conformance.ts'
import { isQuorateError, SeededRandom } from '../base/index.ts'
import {
  type Batch,
  conformanceCases,
  overlayCase,
  type StoreBackend,
  type TableName,
} from '../store/index.ts'
import { prepareDataFile } from './lmdb-file.ts'
import { openLmdbStore } from './lmdb-store.ts'

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))
console.log(`lmdb store: SEED=${seed}`)

async function createMedium(): Promise<MediumUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), 'quorate-lmdb-'))
  let backend: StoreBackend | undefined
  let commit = Promise.resolve()
  let isOpen = false
  const open = async (): Promise<StoreBackend> => {
    const store = await openLmdbStore(join(directory, 'store'))
    isOpen = true
    backend = {
      get: (table, key) => store.get(table, key),
      peek: (table, key) => store.peek(table, key),
      range: (table, range) => store.range(table, range),
      scan: (table, range, visit) => store.scan(table, range, visit),
      commit: (batch) => {
        commit = store.commit(batch)
        return commit
      },
      clear: () => store.clear(),
      sizeBytes: () => store.sizeBytes(),
      close: () => {
        isOpen = false
        return store.close()
      },
    }
    return backend
  }
  const close = async (): Promise<void> => {
    await commit
    if (isOpen) await backend?.close()
  }
  return {
    open,
    // A crash of LMDB needs a process of its own (below); here what is under way is awaited.
    reopen: async () => {
      await close()
      return open()
    },
    turn: () => setImmediate(),
    dispose: async () => {
      await close()
      await rm(directory, { recursive: true })
    },
  }
}

runConformance('lmdb', [...conformanceCases, overlayCase(seed, 2000)], createMedium)

// ---- what only this backend can be asked ---------------------------------------------------------------------------

async function makeDirectory(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'quorate-lmdb-'))
  context.after(() => rm(directory, { recursive: true }))
  return directory
}

const stampTables: readonly TableName[] = ['links', 'history', 'leases']

/** Batch `n` stamps the same 60 keys of three tables with n, in values of changing sizes, and adds revision n. */
function stampBatch(n: number): Batch {
  const stamp = (i: number): Uint8Array => new Uint8Array(4 + ((n * 31 + i * 97) % 700)).fill(n & 0xff)
  const keys = Array.from({ length: 60 }, (_, i) => Uint8Array.of(i))
  return [
    ...stampTables.map((table) => ({ table, changes: keys.map((key, i) => ({ key, value: stamp(i) })) })),
    {
      table: 'revisions',
      changes: [{ key: Uint8Array.of(n >> 8, n & 0xff), value: Uint8Array.of(n & 0xff) }],
    },
  ]
}

/** The number of the last batch; fails when any batch is there in part. */
function lastWholeBatch(backend: StoreBackend): number {
  let last = 0
  for (const { key, value } of backend.range('revisions', {})) {
    last++
    assert.deepEqual([...key], [last >> 8, last & 0xff], 'revisions have no hole')
    assert.deepEqual([...value], [last & 0xff])
  }
  for (const { table, changes } of last === 0 ? [] : stampBatch(last)) {
    for (const { key, value } of changes) {
      const found = backend.get(table, key)
      assert.ok(
        found !== undefined && value !== undefined && Buffer.compare(found, value) === 0,
        `${table} ${key}`,
      )
    }
  }
  return last
}

/** A process that runs `body` with the functions of this file's subject at hand. */
function spawnChild(body: string, shellPrefix = ''): ChildProcess {
  const subject = new URL('./lmdb-store.ts', import.meta.url)
  const program = `
    import { writeSync } from 'node:fs'
    import { openLmdbStore } from '${subject}'
    const stampTables = ${JSON.stringify(stampTables)}
    ${stampBatch.toString()}
    const say = (text) => writeSync(1, text + '\\n')
    ${body}`
  const command = `${shellPrefix} exec "$0" --input-type=module --eval "$1"`
  return spawn('/bin/sh', ['-c', command, process.execPath, program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

test('kill -9 between and during commits: every batch reported durable is there, and whole', async (context) => {
  const random = new SeededRandom(seed)
  const path = join(await makeDirectory(context), 'store')
  let durable = 0
  for (let round = 0; round < 5; round++) {
    const child = spawnChild(`
      const store = await openLmdbStore(${JSON.stringify(path)})
      for (let n = ${durable + 1}; ; n++) {
        await store.commit(stampBatch(n))
        say(n)
      }`)
    const exited = once(child, 'exit')
    let printed = durable
    const killAt = durable + random.between(1, 25)
    assert.ok(child.stdout)
    for await (const line of createInterface({ input: child.stdout })) {
      printed = Number(line)
      if (printed === killAt) child.kill('SIGKILL')
    }
    const [, signal] = await exited
    assert.equal(signal, 'SIGKILL')
    const store = await openLmdbStore(path)
    const found = lastWholeBatch(store)
    assert.ok(
      found === printed || found === printed + 1,
      `${printed} was reported durable, ${found} is there`,
    )
    durable = found
    await store.close()
  }
})

test('a failed commit is final: nothing of it is seen, and the next open refuses the file', async (context) => {
  const path = join(await makeDirectory(context), 'store')
  // A file size limit of 1 MiB stands for a disk that refuses. The shell ignores the signal, so writes fail.
  const child = spawnChild(
    `
      const store = await openLmdbStore(${JSON.stringify(path)})
      let n = 0
      try {
        for (;;) {
          const batch = stampBatch(n + 1)
          const filler = { key: Uint8Array.of(0xff, n), value: new Uint8Array(100_000) }
          await store.commit([...batch, { table: 'sessions', changes: [filler] }])
          n++
        }
      } catch (error) {
        say(error.name + ' ' + error.code + ' ' + (error.cause instanceof Error))
      }
      say(n)
      say(store.get('revisions', Uint8Array.of(0, n)) !== undefined)
      say(store.get('revisions', Uint8Array.of(0, n + 1)) === undefined)
      say(await store.commit(stampBatch(1)).then(() => 'accepted', (error) => error.code))
      await store.close()
      say('closed')`,
    // lmdb writes about the failure to standard error as well.
    `trap '' XFSZ; ulimit -f 2048; exec 2>/dev/null;`,
  )
  const exited = once(child, 'exit')
  assert.ok(child.stdout)
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) lines.push(line)
  const [failure, count, ...rest] = lines
  assert.equal(failure, 'QuorateError disk-failed true')
  assert.ok(Number(count) > 0)
  assert.deepEqual(rest, ['true', 'true', 'disk-failed', 'closed'])
  assert.deepEqual(await exited, [0, null])
  // What such a file holds is unknown, whatever it looks like: the owner has to rebuild it.
  await assert.rejects(openLmdbStore(path), (error) => isQuorateError(error, 'data-damaged'))
})

test('once a root could not be written every range is an error, also before the commit has failed', async (context) => {
  const path = join(await makeDirectory(context), 'store')
  // Instead of the descriptor for synced roots (opened last, so the highest) lmdb finds one that cannot be written to.
  const child = spawnChild(
    `
      const { closeSync, fstatSync, openSync, readSync, statSync } = await import('node:fs')
      const { setTimeout } = await import('node:timers/promises')
      const store = await openLmdbStore(${JSON.stringify(path)})
      await store.commit(stampBatch(1))
      const rows = () => {
        try {
          return [...store.range('links', {})].length
        } catch (error) {
          return error.code
        }
      }
      say(rows())
      const data = ${JSON.stringify(join(path, 'data.mdb'))}
      const file = openSync(data, 'r')
      const isData = (fd) => {
        try {
          return fd !== file && fstatSync(fd).ino === statSync(data).ino
        } catch {
          return false
        }
      }
      const rootFile = Array.from({ length: 256 }, (_, fd) => fd).findLast(isData)
      closeSync(rootFile)
      say(openSync('/dev/null', 'r') === rootFile)
      // After the failure lmdb puts an older transaction into the place of the synced root: so long nobody reads.
      const syncedRoot = () => {
        const bytes = Buffer.alloc(65536)
        readSync(file, bytes, 0, bytes.length, 0)
        const place = bytes.readUInt32LE(48) / 2
        return bytes.toString('latin1', place, place + 168)
      }
      const root = syncedRoot()
      const size = statSync(data).size
      const filler = { key: Uint8Array.of(0xff), value: new Uint8Array(20_000_000) }
      const commit = store.commit([{ table: 'links', changes: [filler] }]).catch((error) => error.code)
      // Pages are being written, and with the next timers the last read transaction is given back.
      while (statSync(data).size === size) await setTimeout(0)
      await setTimeout(0)
      for (const untilMs = performance.now() + 20_000; syncedRoot() === root; ) {
        if (performance.now() > untilMs) throw new Error('the root is as it was')
      }
      say(rows())
      say(await commit)
      say(rows())`,
    'exec 2>/dev/null;',
  )
  const exited = once(child, 'exit')
  assert.ok(child.stdout)
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) lines.push(line)
  assert.deepEqual(lines, ['60', 'true', 'disk-failed', 'disk-failed', 'disk-failed'])
  assert.deepEqual(await exited, [0, null])
})

test('the map grows past its first size while ranges are read', async (context) => {
  const path = join(await makeDirectory(context), 'store')
  const store = await openLmdbStore(path, { mapSizeBytes: 256 * 1024 })
  const value = (n: number): Uint8Array => new Uint8Array(20_000).fill(n)
  for (let n = 0; n < 100; n++) {
    const commit = store.commit([{ table: 'links', changes: [{ key: Uint8Array.of(n), value: value(n) }] }])
    // Old values are read while the new one grows the map on the other thread.
    const before = [...store.range('links', {})]
    await commit
    for (const [i, pair] of before.entries()) assert.equal(Buffer.compare(pair.value, value(i)), 0)
    assert.ok(before.length === n || before.length === n + 1)
  }
  assert.ok(store.sizeBytes().total > 2_000_000)
  await store.close()
})

test('a file that is no store is refused as damaged, a directory that cannot be made as failed', async (context) => {
  const directory = await makeDirectory(context)
  const path = join(directory, 'data.mdb')
  for (const bytes of [new Uint8Array(100), new Uint8Array(8192), new Uint8Array(200_000).fill(7)]) {
    await writeFile(path, bytes)
    await assert.rejects(openLmdbStore(directory), (error) => isQuorateError(error, 'data-damaged'))
    assert.equal((await readFile(path)).length, bytes.length, 'it is left as it was')
  }
  await assert.rejects(openLmdbStore(path), (error) => isQuorateError(error, 'disk-failed'))
})

test('a file of the store that cannot be opened is an error that can be caught', async (context) => {
  for (const name of ['data.mdb', 'lock.mdb']) {
    const directory = await makeDirectory(context)
    await mkdir(join(directory, name))
    await assert.rejects(openLmdbStore(directory), (error) => isQuorateError(error, 'disk-failed'))
  }
})

test('a file whose first commit never became durable is made anew, any other is not touched', async (context) => {
  const directory = await makeDirectory(context)
  const path = join(directory, 'data.mdb')
  const store = await openLmdbStore(directory)
  await store.close()
  // The synced root is where it is expected: this holds the layout in lmdb-file.ts against the library.
  const bytes = await readFile(path)
  const pageSize = bytes.readUInt32LE(48)
  assert.ok(bytes.readBigUInt64LE(pageSize / 2 + 152) > 0n)
  assert.equal(await prepareDataFile(directory, false), true)
  bytes.fill(0, pageSize / 2, pageSize)
  await writeFile(path, bytes)
  assert.equal(await prepareDataFile(directory, false), false)
  await assert.rejects(readFile(path), { code: 'ENOENT' })
  const again = await openLmdbStore(directory)
  await again.commit(stampBatch(1))
  assert.equal(lastWholeBatch(again), 1)
  await again.close()
})

test('opening starts from the last durable commit, not from what a crash left in the cache', async (context) => {
  const directory = await makeDirectory(context)
  const path = join(directory, 'data.mdb')
  const store = await openLmdbStore(directory)
  await store.commit(stampBatch(1))
  await store.commit(stampBatch(2))
  await store.close()
  // As after a crash between the provisional and the synced root of commit 2: the synced one is still that of
  // commit 1. The root of commit 1 stands in the page that commit 2 did not write.
  const bytes = await readFile(path)
  const pageSize = bytes.readUInt32LE(48)
  const transaction = (root: number): bigint => bytes.readBigUInt64LE(root + 152)
  const older = transaction(0) < transaction(pageSize) ? 0 : pageSize
  assert.equal(transaction(pageSize / 2), transaction(pageSize - older))
  bytes.copy(bytes, pageSize / 2 + 40, older + 40, older + 168)
  bytes.writeUInt16LE(bytes.readUInt16LE(pageSize / 2 + 52) & ~0x1000, pageSize / 2 + 52)
  await writeFile(path, bytes)
  const again = await openLmdbStore(directory)
  assert.equal(lastWholeBatch(again), 1)
  await again.commit(stampBatch(2))
  assert.equal(lastWholeBatch(again), 2)
  await again.close()
})

test('a store of an earlier format is made again, and one of a later is refused', async (context) => {
  for (const [format, code] of [
    [1, 'data-damaged'],
    [3, 'format-unsupported'],
  ] as const) {
    const directory = await makeDirectory(context)
    await (await openLmdbStore(directory)).close()
    const root = open({ path: directory, noSubdir: false, encoding: 'binary', overlappingSync: true })
    const about = root.openDB('about', { encoding: 'binary', keyEncoding: 'binary' })
    await about.put(Uint8Array.of(0x66), Uint8Array.of(format))
    await root.flushed
    await root.close()
    await assert.rejects(openLmdbStore(directory), { code })
  }
})
