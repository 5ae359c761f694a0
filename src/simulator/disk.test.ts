import assert from 'node:assert/strict'
import test from 'node:test'
import { isQuorateError, SeededRandom, utf8Decode, utf8Encode } from '../base/index.ts'
import { createSimulatedDisk, type SimulatedDisk } from './disk.ts'
import { Scheduler } from './scheduler.ts'

function createDisk(seed = 1): SimulatedDisk {
  return createSimulatedDisk({ random: new SeededRandom(seed) })
}

async function createFile(disk: SimulatedDisk, path: string, text: string): Promise<void> {
  const file = await disk.open(path, { create: true })
  await file.write(0, [utf8Encode(text)])
  await file.sync()
  await file.close()
}

async function readText(disk: SimulatedDisk, path: string): Promise<string | undefined> {
  if (!(await disk.exists(path))) return undefined
  const file = await disk.open(path, { create: false })
  const bytes = new Uint8Array(await file.size())
  await file.read(0, bytes)
  return utf8Decode(bytes)
}

/** Every outcome of `act` over many seeds, sorted: shows that each allowed one occurs and no other. */
async function outcomes(act: (disk: SimulatedDisk) => Promise<string>, seeds = 300): Promise<string[]> {
  const seen = new Set<string>()
  for (let seed = 0; seed < seeds; seed++) seen.add(await act(createDisk(seed)))
  return [...seen].sort()
}

test('what was written, synced and named survives every power cut', async () => {
  const act = async (disk: SimulatedDisk): Promise<string> => {
    await disk.makeDirectory('/data/log')
    await createFile(disk, '/data/log/a', 'kept')
    await disk.syncDirectory('/data/log')
    disk.crash()
    return String(await readText(disk, '/data/log/a'))
  }
  assert.deepEqual(await outcomes(act), ['kept'])
})

test('a created file may vanish until its directory is synced', async () => {
  const act = async (disk: SimulatedDisk): Promise<string> => {
    await createFile(disk, '/a', 'kept')
    disk.crash()
    return String(await readText(disk, '/a'))
  }
  assert.deepEqual(await outcomes(act), ['kept', 'undefined'])
})

test('an unsynced write is there, gone, or torn at a sector', async () => {
  const act = async (disk: SimulatedDisk): Promise<string> => {
    await createFile(disk, '/a', 'o'.repeat(1536))
    await disk.syncDirectory('/')
    const file = await disk.open('/a', { create: false })
    await file.write(256, [utf8Encode('n'.repeat(1024))])
    disk.crash()
    return String(await readText(disk, '/a')).replace(/(.)\1*/g, (run) => `${run[0]}${run.length} `)
  }
  // Three sectors are touched; each holds its old or its new version.
  assert.deepEqual(await outcomes(act), [
    'o1024 n256 o256 ',
    'o1536 ',
    'o256 n1024 o256 ',
    'o256 n256 o1024 ',
    'o256 n256 o512 n256 o256 ',
    'o256 n768 o512 ',
    'o512 n512 o512 ',
    'o512 n768 o256 ',
  ])
})

test('of two writes to a sector the later never survives without the earlier', async () => {
  const act = async (disk: SimulatedDisk): Promise<string> => {
    await createFile(disk, '/a', '--')
    await disk.syncDirectory('/')
    const file = await disk.open('/a', { create: false })
    await file.write(0, [utf8Encode('1')])
    await file.write(1, [utf8Encode('2')])
    disk.crash()
    return String(await readText(disk, '/a'))
  }
  assert.deepEqual(await outcomes(act), ['--', '1-', '12'])
})

test('a sync covers only the writes that had completed when it began', async () => {
  const random = new SeededRandom(1)
  const scheduler = new Scheduler()
  const disk = createSimulatedDisk({
    random,
    scheduler,
    latency: (operation) => (operation === 'write' ? 3 : 5),
  })
  const work = async (): Promise<void> => {
    const file = await disk.open('/a', { create: true })
    await disk.syncDirectory('/')
    await file.write(0, [utf8Encode('A')])
    const second = file.write(1, [utf8Encode('B')])
    await file.sync()
    await second
  }
  await scheduler.complete(work())
  assert.equal(utf8Decode(disk.cachedBytes('/a') ?? new Uint8Array()), 'AB')
  assert.equal(utf8Decode(disk.durableBytes('/a') ?? new Uint8Array()), 'A')
})

test('durable writes and preallocation are on the medium when they resolve', async () => {
  const disk = createDisk()
  const file = await disk.open('/a', { create: true, durableWrites: true })
  await disk.syncDirectory('/')
  await file.preallocate(8)
  await file.write(2, [utf8Encode('x'), utf8Encode('y')])
  disk.crash('nothing')
  assert.equal(await readText(disk, '/a'), '\0\0xy\0\0\0\0')
})

test('an unsynced rename ends under either name, and what it replaced comes back with the old', async () => {
  const act = async (disk: SimulatedDisk): Promise<string> => {
    await createFile(disk, '/a', 'old')
    await createFile(disk, '/a.new', 'new')
    await disk.syncDirectory('/')
    await disk.rename('/a.new', '/a')
    disk.crash()
    return `${await readText(disk, '/a')} ${await readText(disk, '/a.new')}`
  }
  assert.deepEqual(await outcomes(act), ['new undefined', 'old new'])
})

test('a removed file and a removed tree may come back until the directory is synced', async () => {
  const act = async (disk: SimulatedDisk): Promise<string> => {
    await disk.makeDirectory('/d')
    await createFile(disk, '/d/a', 'a')
    await disk.syncDirectory('/d')
    await disk.removeTree('/d')
    disk.crash()
    return disk.paths('cached').join() || String(await disk.exists('/d'))
  }
  assert.deepEqual(await outcomes(act), ['/d/a', 'false', 'true'])
})

test('truncation: the size is an old or the new one, and cut bytes never come back after a sync', async () => {
  const act = async (disk: SimulatedDisk): Promise<string> => {
    await createFile(disk, '/a', 'abcd')
    await disk.syncDirectory('/')
    const file = await disk.open('/a', { create: false })
    await file.truncate(2)
    await file.truncate(4)
    disk.crash()
    return JSON.stringify(await readText(disk, '/a'))
  }
  assert.deepEqual(await outcomes(act), ['"ab"', '"ab\\u0000\\u0000"', '"abcd"'])
})

test('a kill keeps the cache; the next power cut may still take it', async () => {
  const disk = createDisk()
  await createFile(disk, '/a', 'old')
  await disk.syncDirectory('/')
  const file = await disk.open('/a', { create: false })
  await file.write(0, [utf8Encode('new')])
  disk.kill()
  assert.equal(await readText(disk, '/a'), 'new')
  disk.crash('nothing')
  assert.equal(await readText(disk, '/a'), 'old')
})

test('a write under way at a kill is there, partly there, or not', async () => {
  const act = async (disk: SimulatedDisk): Promise<string> => {
    await createFile(disk, '/a', '--')
    const file = await disk.open('/a', { create: false })
    void file.write(0, [utf8Encode('12')])
    disk.kill()
    return String(await readText(disk, '/a'))
  }
  assert.deepEqual(await outcomes(act), ['--', '1-', '12'])
})

test('after a failed sync later syncs succeed, the cache shows the data, and the medium never gets it', async () => {
  const act = async (disk: SimulatedDisk): Promise<string> => {
    const file = await disk.open('/a', { create: true })
    await disk.syncDirectory('/')
    await file.write(0, [utf8Encode('data')])
    disk.failNext({ operation: 'sync', path: 'a' })
    await assert.rejects(file.sync(), (error) => isQuorateError(error, 'disk-failed'))
    await file.sync()
    assert.deepEqual(disk.misuse, ['sync of /a after a failure'])
    disk.kill()
    assert.equal(await readText(disk, '/a'), 'data')
    disk.crash('everything')
    return String(await readText(disk, '/a'))
  }
  const seen = await outcomes(act)
  assert.ok(seen.includes('data') && seen.includes(''), seen.join())
})

test('the n-th operation of a kind fails, and only that', async () => {
  const disk = createDisk()
  const file = await disk.open('/a', { create: true })
  disk.failNext({ operation: 'write', nth: 3 })
  await file.write(0, [utf8Encode('1')])
  await file.write(0, [utf8Encode('2')])
  await assert.rejects(file.write(0, [utf8Encode('3')]), (error) => isQuorateError(error, 'disk-failed'))
  assert.equal(disk.countOf('write'), 3)
})

test('a full disk writes what fits and refuses the rest', async () => {
  const disk = createSimulatedDisk({ random: new SeededRandom(1), faults: { bytesMax: 10 } })
  const file = await disk.open('/a', { create: true })
  await file.write(0, [utf8Encode('12345678')])
  assert.equal(await disk.freeBytes('/'), 2)
  await assert.rejects(file.write(8, [utf8Encode('abcd')]), (error) => isQuorateError(error, 'disk-full'))
  assert.equal(await readText(disk, '/a'), '12345678ab')
  await file.write(0, [utf8Encode('x')])
  await disk.remove('/a')
  assert.equal(await disk.freeBytes('/'), 10)
})

test('rot flips bits on the medium and in the cache', async () => {
  const disk = createDisk()
  await createFile(disk, '/a', 'abc')
  await disk.syncDirectory('/')
  disk.rot('/a', { first: 1, end: 2 })
  const text = (await readText(disk, '/a')) ?? ''
  assert.match(text, /^a[^b]c$/)
  disk.crash()
  assert.equal(await readText(disk, '/a'), text)
})

test('bytes that change under a write, overlapping writes and use after close are found', async () => {
  const disk = createDisk()
  const file = await disk.open('/a', { create: true })
  const bytes = utf8Encode('abc')
  const write = file.write(0, [bytes])
  bytes[0] = 0
  await assert.rejects(write, /changed while/)
  const first = file.write(0, [utf8Encode('abc')])
  await assert.rejects(file.write(2, [utf8Encode('d')]), /two writes at once/)
  await first
  await file.close()
  await assert.rejects(async () => await file.sync(), /after close/)
  assert.equal(disk.openFiles, 0)
})

test('names: errors of missing and existing files', async () => {
  const disk = createDisk()
  await disk.makeDirectory('data/x')
  await createFile(disk, 'data/x/b', 'b')
  await createFile(disk, 'data/x/a', 'a')
  assert.deepEqual(await disk.list('/data/x'), ['a', 'b'])
  await assert.rejects(disk.list('/nowhere'), (error) => isQuorateError(error, 'file-not-found'))
  await assert.rejects(disk.open('/nowhere/a', { create: true }), (error) =>
    isQuorateError(error, 'file-not-found'),
  )
  await assert.rejects(disk.open('/data/x/a', { create: true }), (error) =>
    isQuorateError(error, 'file-exists'),
  )
  await assert.rejects(disk.open('/data/x/c', { create: false }), (error) =>
    isQuorateError(error, 'file-not-found'),
  )
  await disk.remove('/data/x/c')
  await disk.removeTree('/data')
  assert.equal(await disk.exists('/data'), false)
})

test('a mounted disk is dead after a crash: its operations never resolve', async () => {
  const disk = createDisk()
  const old = disk.mount()
  const file = await old.open('/a', { create: true })
  disk.crash('everything')
  let resolved = 0
  const count = (): void => {
    resolved++
  }
  void file.write(0, [utf8Encode('late')]).then(count, count)
  void old.list('/').then(count, count)
  assert.deepEqual(await disk.list('/'), ['a'])
  for (let turn = 0; turn < 50; turn++) await undefined
  assert.equal(resolved, 0)
  assert.equal(await readText(disk, '/a'), '')
})

/** The well-known way to replace a file; `isCareless` leaves out the sync of the content. */
async function replaceFile(disk: SimulatedDisk, text: string, isCareless: boolean): Promise<void> {
  await disk.remove('/a.new')
  const file = await disk.open('/a.new', { create: true })
  await file.write(0, [utf8Encode(text)])
  if (!isCareless) await file.sync()
  await file.close()
  await disk.rename('/a.new', '/a')
  await disk.syncDirectory('/')
}

test('operations on a disk that hangs end when it goes on, and never after a crash', async () => {
  const disk = createDisk()
  await createFile(disk, '/a', 'old')
  const file = await disk.open('/a', { create: false })
  disk.hang(new Set(['sync']))
  await file.write(0, [utf8Encode('new')])
  const done: string[] = []
  void file.sync().then(() => done.push('synced'))
  assert.equal(await readText(disk, '/a'), 'new', 'other operations go on')
  assert.equal(done.length, 0)
  disk.resume()
  await file.close()
  assert.deepEqual(done, ['synced'])
  disk.hang()
  void disk.list('/').then(() => done.push('listed'))
  await Promise.resolve()
  disk.crash()
  disk.resume()
  assert.deepEqual(await disk.list('/'), ['a'])
  assert.deepEqual(done, ['synced'])
})

test('an operation finds no space, and the file may be written again', async () => {
  const disk = createDisk()
  const file = await disk.open('/a', { create: true, durableWrites: true })
  disk.failNext({ operation: 'write', code: 'disk-full' })
  await assert.rejects(file.write(0, [utf8Encode('1')]), (error) => isQuorateError(error, 'disk-full'))
  await file.write(0, [utf8Encode('2')])
  assert.deepEqual(disk.misuse, [])
  assert.equal(await readText(disk, '/a'), '2')
})

/** A file of three synced sectors of which the second was written last but one, or last. */
async function writeAstray(
  disk: SimulatedDisk,
  kind: 'lost' | 'misdirected',
  isLast: boolean,
): Promise<string> {
  await createFile(disk, '/a', '.'.repeat(1_536))
  await disk.syncDirectory('/')
  const file = await disk.open('/a', { create: false, durableWrites: true })
  disk.strayNext(kind, 1)
  await file.write(512, [utf8Encode('x'.repeat(512))])
  if (!isLast) await file.write(1_024, [utf8Encode('y'.repeat(512))])
  const seen = await readText(disk, '/a')
  disk.kill()
  assert.equal(await readText(disk, '/a'), seen, 'the cache shows it until power fails')
  disk.crash('nothing')
  return String(await readText(disk, '/a')).replace(/(.)\1*/g, (run) => `${run[0]}${run.length / 512}`)
}

test('a lost write is gone after a power cut, unless nothing durable was written behind it', async () => {
  assert.deepEqual(await outcomes((disk) => writeAstray(disk, 'lost', false)), ['.2y1'])
  assert.deepEqual(await outcomes((disk) => writeAstray(disk, 'lost', true)), ['.1x1.1'])
})

test('a misdirected write lands on another sector of the same disk', async () => {
  const seen = await outcomes((disk) => writeAstray(disk, 'misdirected', false))
  assert.deepEqual(seen, ['.1x1y1', '.2y1', 'x1.1y1'])
})

test('no write goes astray on a disk that was wiped since', async () => {
  const disk = createDisk()
  let count = 0
  disk.strayNext('lost', 1, () => count++)
  disk.wipe()
  await createFile(disk, '/a', 'new')
  assert.equal(count, 0)
})

test('a copy of a disk is put back as it was, all of it durable', async () => {
  const disk = createDisk()
  await createFile(disk, '/a', 'old')
  disk.kill()
  const copy = disk.copy()
  const file = await disk.open('/a', { create: false })
  await file.write(0, [utf8Encode('new')])
  await file.sync()
  disk.kill()
  disk.restore(copy)
  disk.crash('nothing')
  assert.equal(await readText(disk, '/a'), 'old')
})

async function sweepReplacement(isCareless: boolean): Promise<Set<string>> {
  const seen = new Set<string>()
  for (let seed = 1; seed <= 40; seed++) {
    for (let k = 1; ; k++) {
      const disk = createDisk(seed * 1000 + k)
      await createFile(disk, '/a', 'old')
      await disk.syncDirectory('/')
      disk.haltAt(disk.operationCount + k)
      const outcome = await Promise.race([
        replaceFile(disk, 'new', isCareless).then(() => 'done'),
        disk.halted,
      ])
      disk.crash()
      seen.add(`${outcome} ${await readText(disk, '/a')}`)
      if (outcome === 'done') break
    }
  }
  return seen
}

test('a sweep over every crash point proves atomic replacement, and catches the careless one', async () => {
  assert.deepEqual([...(await sweepReplacement(false))].sort(), ['done new', 'halted new', 'halted old'])
  assert.ok((await sweepReplacement(true)).has('done '), 'an acknowledged replacement is lost')
})

test('with a scheduler the same seed gives the same digest, another seed another', async () => {
  const run = async (seed: number): Promise<number> => {
    const scheduler = new Scheduler()
    const disk = createSimulatedDisk({ random: new SeededRandom(seed), scheduler })
    const work = async (name: string): Promise<void> => {
      await createFile(disk, `/${name}`, name)
      await disk.syncDirectory('/')
    }
    await scheduler.complete(Promise.all([work('a'), work('b'), work('c')]))
    return scheduler.digest
  }
  assert.equal(await run(7), await run(7))
  assert.notEqual(await run(7), await run(8))
})
