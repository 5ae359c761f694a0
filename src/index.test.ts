import assert from 'node:assert/strict'
import test from 'node:test'
import { openQuorate } from './index.ts'

test('a prefix may be a Buffer, and stays as it was', async (t) => {
  const quorate = await openQuorate({ listen: false })
  t.after(() => quorate.close())
  const { revision } = await quorate.put('/a/1', 'one')
  await quorate.put('/b', 'two')
  const prefix = Buffer.from('/a/')
  const found = await quorate.list(prefix)
  assert.deepEqual(
    found.map((pair) => Buffer.from(pair.value).toString()),
    ['one'],
  )
  const events = quorate.watch(prefix, { prefix: true, fromRevision: revision })
  const { value: event } = await events.next()
  assert.equal(Buffer.from(event?.pair.key ?? []).toString(), '/a/1')
  await events.return?.()
  assert.equal(prefix.toString(), '/a/')
})
