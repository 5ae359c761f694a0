import assert from 'node:assert/strict'
import test from 'node:test'
import { QuorateError } from '../base/index.ts'
import type { InstallOperation, StorageOperation, WriteOperation } from '../raft/index.ts'
import type { LogWrite, WriteAheadLog } from '../write-ahead-log/index.ts'
import { StorageQueue } from './storage-queue.ts'

const end = { index: 0, term: 0, chain: 0 }
const hardState = (term: number) => ({ term, vote: 0n, commit: 0 })
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const write = (sequence: number): WriteOperation => ({
  kind: 'write',
  sequence,
  hardState: hardState(sequence),
  truncateAfter: undefined,
  entries: [],
  end,
})
const install = (sequence: number): InstallOperation => ({
  kind: 'install',
  sequence,
  keepsLog: false,
  hardState: undefined,
  snapshot: {
    end,
    configuration: { voters: [], outgoing: [], learners: [], context: new Uint8Array() },
    configurationIndex: 0,
  },
  end,
})

/** A queue over a log whose writes the test ends by hand. `log` says what happened, writes by their term. */
function createParts() {
  const log: string[] = []
  const writes: { term: number; resolve: () => void; reject: (error: Error) => void }[] = []
  const installs: (() => void)[] = []
  const queue = new StorageQueue({
    group: 0,
    log: {
      write: (request: LogWrite) =>
        new Promise<void>((resolve, reject) => {
          const term = request.hardState?.term ?? 0
          log.push(`write ${term}`)
          writes.push({ term, resolve, reject })
        }),
    } as unknown as WriteAheadLog,
    install: (operation) =>
      new Promise((resolve) => {
        log.push(`install ${operation.sequence}`)
        installs.push(resolve)
      }),
    completed: (operation: StorageOperation) => log.push(`completed ${operation.sequence}`),
    diskFull: (isFull) => log.push(isFull ? 'full' : 'has space'),
    failed: () => log.push('failed'),
  })
  const full = (slot: number): void => writes[slot]?.reject(new QuorateError('disk-full', 'full'))
  return { queue, log, writes, installs, full }
}

test('writes go to the log as they come and complete in their order', async () => {
  const { queue, log, writes } = createParts()
  queue.push(write(1))
  queue.push(write(2))
  assert.deepEqual(log, ['write 1', 'write 2'])
  writes[0]?.resolve()
  writes[1]?.resolve()
  await settled()
  assert.deepEqual(log.slice(2), ['completed 1', 'completed 2'])
  assert.equal(queue.size, 0)
})

test('an install waits for what is before it and holds up what is behind it', async () => {
  const { queue, log, writes, installs } = createParts()
  queue.push(write(1))
  queue.push(install(2))
  queue.push(write(3))
  assert.deepEqual(log, ['write 1'])
  writes[0]?.resolve()
  await settled()
  queue.push(write(4))
  assert.deepEqual(log.slice(1), ['completed 1', 'install 2'])
  installs[0]?.()
  await settled()
  assert.deepEqual(log.slice(3), ['completed 2', 'write 3', 'write 4'])
})

test('a full disk: nothing is reported, nothing follows, and all of it comes again in order', async () => {
  const { queue, log, writes, full } = createParts()
  queue.push(write(1))
  queue.push(write(2))
  full(0)
  full(1)
  await settled()
  queue.push(write(3))
  assert.deepEqual(log, ['write 1', 'write 2', 'full'])
  assert.equal(queue.isDiskFull, true)
  queue.tick()
  // Only the oldest is tried, and no second time while it is under way.
  queue.tick()
  full(2)
  await settled()
  assert.deepEqual(log.slice(3), ['write 1'])
  queue.tick()
  writes[3]?.resolve()
  await settled()
  assert.deepEqual(log.slice(4), ['write 1', 'has space', 'completed 1', 'write 2', 'write 3'])
  assert.equal(queue.isDiskFull, false)
})

test('ticks are counted while a write is under way, from the last that ended', async () => {
  const { queue, writes } = createParts()
  queue.tick()
  assert.equal(queue.ticksUnderWay, 0)
  queue.push(write(1))
  queue.push(write(2))
  for (let i = 0; i < 3; i++) queue.tick()
  assert.equal(queue.ticksUnderWay, 3)
  writes[0]?.resolve()
  await settled()
  queue.tick()
  assert.equal(queue.ticksUnderWay, 1)
  writes[1]?.resolve()
  await settled()
  queue.tick()
  assert.equal(queue.ticksUnderWay, 0)
})

test('any other failure ends the queue: the write is not tried again', async () => {
  const { queue, log, writes } = createParts()
  queue.push(write(1))
  writes[0]?.reject(new QuorateError('disk-failed', 'input/output error'))
  await settled()
  queue.push(write(2))
  queue.tick()
  await settled()
  assert.deepEqual(log, ['write 1', 'failed'])
})

test('a queue that is stopped reports nothing more', async () => {
  const { queue, log, writes } = createParts()
  queue.push(write(1))
  queue.stop()
  writes[0]?.resolve()
  await settled()
  assert.deepEqual(log, ['write 1'])
})

test('whoever closes the store waits for an install that is under way', async () => {
  const { queue, log, installs } = createParts()
  queue.push(install(1))
  queue.stop()
  const ended = queue.settle().then(() => log.push('settled'))
  await settled()
  assert.deepEqual(log, ['install 1'])
  installs[0]?.()
  await ended
  assert.deepEqual(log, ['install 1', 'settled'])
})
