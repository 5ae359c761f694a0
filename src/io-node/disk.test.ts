import assert from 'node:assert/strict'
import {
  constants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { isQuorateError, QuorateError } from '../base/index.ts'
import { dropBytes } from './disk.ts'
import { createNodeDisk } from './index.ts'

const disk = createNodeDisk()

function temporaryDirectory(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-disk-'))
  context.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function text(...parts: string[]): Uint8Array[] {
  return parts.map((part) => new TextEncoder().encode(part))
}

for (const durableWrites of [false, true]) {
  test(`writes parts one after the other at a position (durableWrites: ${durableWrites})`, async (t) => {
    const path = join(temporaryDirectory(t), 'file')
    const file = await disk.open(path, { create: true, durableWrites })
    await file.write(0, text('one ', '', 'two '))
    await file.write(8, text('three'))
    await file.write(4, text('TWO'))
    await file.write(0, [])
    await file.sync()
    assert.equal(await file.size(), 13)
    await file.close()
    assert.equal(readFileSync(path, 'utf8'), 'one TWO three')
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })
}

test('a write of more parts than the system takes at once is whole', async (t) => {
  const path = join(temporaryDirectory(t), 'file')
  const file = await disk.open(path, { create: true })
  const parts = Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i % 251, i % 241))
  await file.write(0, parts)
  await file.close()
  assert.deepEqual(readFileSync(path), Buffer.concat(parts))
})

test('a short write goes on with what was not taken', () => {
  const parts = text('abc', 'de', 'fghi')
  const left = (count: number): string[] =>
    dropBytes(parts, count).map((part) => Buffer.from(part).toString())
  assert.deepEqual(left(1), ['bc', 'de', 'fghi'])
  assert.deepEqual(left(3), ['de', 'fghi'])
  assert.deepEqual(left(6), ['ghi'])
  assert.deepEqual(left(9), [])
})

/** The flags the system has for our descriptor of `path`, as proc_pid_fdinfo(5) prints them: octal. */
function openFlags(path: string): number {
  const descriptor = readdirSync('/proc/self/fd').find((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === path
    } catch {
      return false
    }
  })
  const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')
  return Number.parseInt(/flags:\s*([0-7]+)/.exec(info)?.[1] ?? '', 8)
}

test('durable writes are asked of the system', { skip: process.platform !== 'linux' }, async (t) => {
  for (const durableWrites of [false, true]) {
    const path = join(temporaryDirectory(t), 'file')
    const file = await disk.open(path, { create: true, durableWrites })
    assert.equal((openFlags(path) & constants.O_DSYNC) !== 0, durableWrites)
    await file.close()
  }
})

test('reads fill the target and stop at the end of the file', async (t) => {
  const file = await disk.open(join(temporaryDirectory(t), 'file'), { create: true })
  await file.write(0, text('0123456789'))
  const target = new Uint8Array(4)
  assert.equal(await file.read(2, target), 4)
  assert.equal(Buffer.from(target).toString(), '2345')
  assert.equal(await file.read(8, target), 2)
  assert.equal(await file.read(10, target), 0)
  await file.close()
})

test('truncation and preallocation: new bytes are zero, old ones stay, zeros take room on the disk', async (t) => {
  const path = join(temporaryDirectory(t), 'file')
  const file = await disk.open(path, { create: true, durableWrites: true })
  await file.write(0, text('abcdef'))
  await file.truncate(3)
  await file.truncate(5)
  assert.equal(readFileSync(path, 'latin1'), 'abc\0\0')
  const size = 2.5 * 1024 * 1024
  await file.preallocate(size)
  assert.equal(await file.size(), size)
  assert.equal(readFileSync(path, 'latin1').slice(0, 6), 'abc\0\0\0')
  assert.ok(statSync(path).blocks * 512 >= size, 'the file has holes')
  await file.preallocate(10)
  assert.equal(await file.size(), size)
  await file.close()
})

test('close waits for the operations under way, and a closed file is not used', async (t) => {
  const path = join(temporaryDirectory(t), 'file')
  const file = await disk.open(path, { create: true, durableWrites: true })
  const ended: string[] = []
  const written = file.write(0, [new Uint8Array(16 * 1024 * 1024)]).then(() => ended.push('write'))
  const closed = file.close().then(() => ended.push('close'))
  await assert.rejects(async () => file.sync(), /a closed file is not used/)
  await Promise.all([written, closed])
  assert.deepEqual(ended, ['write', 'close'])
})

test('errors carry a code, the path and the cause', async (t) => {
  const directory = temporaryDirectory(t)
  const path = join(directory, 'file')
  await (await disk.open(path, { create: true })).close()
  await assert.rejects(disk.open(path, { create: true }), (error) => isQuorateError(error, 'file-exists'))
  await assert.rejects(disk.open(join(directory, 'none'), { create: false }), (error) => {
    assert.ok(error instanceof QuorateError && error.cause instanceof Error)
    assert.equal(error.code, 'file-not-found')
    assert.ok(error.message.includes(join(directory, 'none')), error.message)
    return true
  })
  await assert.rejects(disk.open(directory, { create: false }), (error) =>
    isQuorateError(error, 'disk-failed'),
  )
  await assert.rejects(disk.list(join(directory, 'none')), (error) => isQuorateError(error, 'file-not-found'))
})

test('a full device answers disk-full', { skip: process.platform !== 'linux' }, async (t) => {
  const path = join(temporaryDirectory(t), 'full')
  symlinkSync('/dev/full', path)
  const file = await disk.open(path, { create: false })
  await assert.rejects(file.write(0, text('x')), (error) => isQuorateError(error, 'disk-full'))
  await assert.rejects(file.write(0, text('x', 'y')), (error) => isQuorateError(error, 'disk-full'))
  await file.close()
})

test('directories: made with their parents, listed sorted, renamed over, removed twice', async (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'a', 'b', 'c')
  await disk.makeDirectory(directory)
  await disk.makeDirectory(directory)
  assert.equal(statSync(directory).mode & 0o777, 0o700)
  assert.equal(statSync(join(root, 'a')).mode & 0o777, 0o700)
  for (const name of ['z', 'm', 'a']) {
    const file = await disk.open(join(directory, name), { create: true })
    await file.write(0, text(name))
    await file.close()
  }
  await disk.rename(join(directory, 'z'), join(directory, 'a'))
  await disk.syncDirectory(directory)
  assert.deepEqual(await disk.list(directory), ['a', 'm'])
  assert.equal(readFileSync(join(directory, 'a'), 'utf8'), 'z')
  await disk.remove(join(directory, 'm'))
  await disk.remove(join(directory, 'm'))
  assert.equal(await disk.exists(join(directory, 'm')), false)
  assert.equal(await disk.exists(join(directory, 'a')), true)
  await disk.removeTree(join(root, 'a'))
  await disk.removeTree(join(root, 'a'))
  assert.deepEqual(await disk.list(root), [])
  assert.ok((await disk.freeBytes(root)) > 0)
})

test('a directory that cannot be made is an error and not an endless walk', async (t) => {
  const root = temporaryDirectory(t)
  const file = await disk.open(join(root, 'file'), { create: true })
  await file.close()
  await assert.rejects(disk.makeDirectory(join(root, 'file', 'sub')), (error) =>
    isQuorateError(error, 'disk-failed'),
  )
})
