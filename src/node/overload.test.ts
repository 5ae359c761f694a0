// More than the disk takes: what a node does with it is in its gauges, its refusals and its answers.
import assert from 'node:assert/strict'
import test from 'node:test'
import { LoneNode } from '../../testing/lone-node.ts'
import { isQuorateError, latin1FromBytes, utf8Encode } from '../base/index.ts'
import { type ConsistentCore, encodeCommand } from '../consistent-core/index.ts'
import type { GroupLimits } from './options.ts'

const valueBytes = 1_000

function putCommand(key: string): Uint8Array {
  const flags = { lease: 0n, previous: false, ignoreValue: false, ignoreLease: false }
  const value = new Uint8Array(valueBytes)
  return encodeCommand({ session: undefined, write: { kind: 'put', key: utf8Encode(key), value, ...flags } })
}

function keysOf(core: ConsistentCore): string[] {
  const filters = { modRevisionMin: 0, modRevisionMax: 0, createRevisionMin: 0, createRevisionMax: 0 }
  const slices = core.range({
    kind: 'range',
    key: Uint8Array.of(0),
    rangeEnd: Uint8Array.of(0),
    limit: 0,
    revision: 0,
    sortOrder: 'none',
    sortTarget: 'key',
    keysOnly: true,
    countOnly: false,
    ...filters,
  })
  for (;;) {
    const { done, value } = slices.next()
    if (done !== true) continue
    if (value.kind === 'refused') assert.fail(value.detail)
    return value.pairs.map(({ key }) => latin1FromBytes(key))
  }
}

test('ten times more load than the disk takes: bounded queues, the excess refused, nothing accepted is lost', async () => {
  const uncommittedBytesMax = 100_000
  const limits = { updateQueueMax: 8, waitingMax: 200, uncommittedBytesMax }
  const { scheduler, machine, node, core } = await LoneNode.open(1, { limits })
  const { group } = node
  // 100 kB a second: a hundred of these commands.
  machine.disk.setLatency((operation, bytes) => (operation === 'write' ? bytes / 100 : 0.03))
  const accepted: string[] = []
  const refused: string[] = []
  let longestMs = 0
  const propose = async (key: string): Promise<void> => {
    const startedAt = scheduler.now
    try {
      await group.propose(putCommand(key), { timeoutMs: 4_000 })
      accepted.push(key)
      longestMs = Math.max(longestMs, scheduler.now - startedAt)
    } catch (error) {
      assert.ok(isQuorateError(error, 'overloaded'), String(error))
      refused.push(key)
    }
  }
  const under = async (perMs: number, durationMs: number): Promise<void> => {
    const calls: Promise<void>[] = []
    for (let i = 0; i < durationMs * perMs; i++) {
      calls.push(propose(`${perMs} ${i}`))
      const { queues, lastIndex, commitIndex } = group.status()
      for (const [name, { size, bound }] of Object.entries(queues)) {
        assert.ok(size <= bound, `${name}: ${size} of ${bound}`)
      }
      const uncommitted = (lastIndex - commitIndex) * valueBytes
      assert.ok(uncommitted <= uncommittedBytesMax, `${uncommitted} bytes are not committed`)
      await scheduler.run(1 / perMs)
    }
    await scheduler.complete(Promise.all(calls))
  }
  await under(1, 10_000)
  // Bursts that one turn cannot take.
  await scheduler.complete(Promise.all(Array.from({ length: 500 }, (_, i) => propose(`burst ${i}`))))
  assert.ok(accepted.length > 800 && accepted.length < 1_300, `${accepted.length} accepted`)
  assert.equal(accepted.length + refused.length, 10_500)
  assert.ok(longestMs < 2_000, `an answer took ${longestMs} ms`)
  assert.deepEqual(
    keysOf(core),
    accepted.toSorted(),
    'what was accepted is there, and nothing that was refused',
  )
  const startedAt = scheduler.now
  await scheduler.complete(propose('afterwards'))
  assert.ok(scheduler.now - startedAt < 100, 'it is over with the load')
  assert.equal(accepted.at(-1), 'afterwards')
  assert.deepEqual(machine.disk.misuse, [])
})

const narrow: Readonly<Record<string, Partial<GroupLimits>>> = {
  update: { updateQueueMax: 4 },
  waiting: { waitingMax: 10 },
  readers: { readersMax: 4 },
  appliedWaiters: { readersMax: 10 },
}

for (const [name, limits] of Object.entries(narrow)) {
  test(`the queue "${name}" as the narrow one: it fills to its bound, refuses the rest by name, and all are answered`, async () => {
    const { scheduler, machine, node } = await LoneNode.open(2, { limits })
    const { group } = node
    machine.disk.setLatency(() => 10)
    let longest = 0
    const answers: Promise<unknown>[] = []
    const ask = (call: Promise<unknown>): void => {
      answers.push(
        call.then(
          () => 'answered',
          (error: unknown) => (isQuorateError(error) ? error.code : error),
        ),
      )
      for (const [queue, { size, bound }] of Object.entries(group.status().queues)) {
        assert.ok(size <= bound, `${queue}: ${size} of ${bound}`)
        if (queue === name) longest = Math.max(longest, size / bound)
      }
    }
    const options = { timeoutMs: 1_000 }
    for (let i = 0; i < 40; i++) {
      ask(group.propose(putCommand(`key ${i}`), options))
      ask(group.readBarrier(options))
      ask(group.waitApplied(() => false, options))
      if (i % 8 === 7) await scheduler.run(1)
    }
    const told = new Set(await scheduler.complete(Promise.all(answers)))

    assert.equal(longest, 1, 'it was full')
    for (const one of told) {
      assert.ok(['answered', 'overloaded', 'revision-wait-timeout'].includes(String(one)), String(one))
    }
    for (const { size } of Object.values(group.status().queues).slice(0, 5)) assert.equal(size, 0)
  })
}
