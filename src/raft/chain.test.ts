import assert from 'node:assert/strict'
import test from 'node:test'
import { bytesFromHex, crc32c, utf8Encode } from '../base/index.ts'
import { chainOf, createEntry } from './chain.ts'
import { entryKind } from './types.ts'

const fields = { group: 7, index: 2 ** 33 + 5, term: 3, kind: entryKind.command, payloadChecksum: 0xdeadbeef }

test('the chain covers 29 bytes in a fixed order', () => {
  const bytes = '44332211' + '07000000' + '0500000002000000' + '0300000000000000' + '01' + 'efbeadde'
  assert.equal(chainOf(0x11223344, fields), crc32c(bytesFromHex(bytes)))
})

test('every field and the history before it change the chain', () => {
  const chain = chainOf(1, fields)
  const others = [
    chainOf(2, fields),
    chainOf(1, { ...fields, group: 8 }),
    chainOf(1, { ...fields, index: fields.index + 1 }),
    chainOf(1, { ...fields, term: 4 }),
    chainOf(1, { ...fields, kind: entryKind.noop }),
    chainOf(1, { ...fields, payloadChecksum: 0 }),
  ]
  assert.equal(new Set([chain, ...others]).size, 7)
})

test('an entry is born with both checksums', () => {
  const payload = utf8Encode('value')
  const entry = createEntry({ ...fields, payload, previousChain: 9 })
  assert.equal(entry.payloadChecksum, crc32c(payload))
  assert.equal(entry.chain, chainOf(9, { ...fields, payloadChecksum: crc32c(payload) }))
})
