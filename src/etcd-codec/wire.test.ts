// Single facts of the encoding, byte by byte.
import assert from 'node:assert/strict'
import test from 'node:test'
import { bytesFromHex, emptyBytes, hexFromBytes, isQuorateError, utf8Encode } from '../base/index.ts'
import {
  decodeCompactionRequest,
  decodeLeaseGrantRequest,
  decodeMemberAddRequest,
  decodePutRequest,
  decodeRangeRequest,
  decodeTxnRequest,
  decodeWatchRequest,
  encodeCompactionRequest,
  encodePutRequest,
  encodeTxnRequest,
  encodeWatchRequest,
  type RequestOp,
} from './index.ts'

function refused(decode: (bytes: Uint8Array) => unknown, hex: string, text: RegExp): void {
  assert.throws(
    () => decode(bytesFromHex(hex)),
    (error) => isQuorateError(error, 'frame-malformed') && text.test(error.message),
  )
}

test('negative counts are ten bytes of two-complement', () => {
  for (const revision of [-1, -2, -300, -(2 ** 31), -(2 ** 32) - 5, Number.MIN_SAFE_INTEGER]) {
    const bytes = encodeCompactionRequest({ revision, physical: false })
    assert.equal(bytes.length, 11)
    assert.equal(decodeCompactionRequest(bytes).revision, revision)
  }
  assert.equal(
    hexFromBytes(encodeCompactionRequest({ revision: -1, physical: false })),
    '08ffffffffffffffffff01',
  )
})

test('counts beyond 2^53 are taken as the bound', () => {
  const max = '08ffffffffffffffff7f'
  const min = '0880808080808080808001'
  assert.equal(decodeCompactionRequest(bytesFromHex(max)).revision, Number.MAX_SAFE_INTEGER)
  assert.equal(decodeCompactionRequest(bytesFromHex(min)).revision, Number.MIN_SAFE_INTEGER)
  assert.equal(
    decodeCompactionRequest(bytesFromHex('0880808080808080f0ff01')).revision,
    Number.MIN_SAFE_INTEGER,
  )
  const largest = encodeCompactionRequest({ revision: Number.MAX_SAFE_INTEGER, physical: false })
  assert.equal(decodeCompactionRequest(largest).revision, Number.MAX_SAFE_INTEGER)
})

test('every length of varint comes back', () => {
  for (let bits = 0; bits < 53; bits++) {
    for (const revision of [2 ** bits - 1, 2 ** bits, 2 ** bits + 1]) {
      assert.equal(
        decodeCompactionRequest(encodeCompactionRequest({ revision, physical: true })).revision,
        revision,
      )
    }
  }
})

test('ids keep all 64 bits', () => {
  assert.equal(decodeLeaseGrantRequest(bytesFromHex('10ffffffffffffffff7f')).id, 2n ** 63n - 1n)
  assert.equal(decodeLeaseGrantRequest(bytesFromHex('10ffffffffffffffffff01')).id, -1n)
})

test('unknown fields of every wire type are skipped', () => {
  const unknown = `a006${'ffff03'}a106${'00'.repeat(8)}a206${'03aabbcc'}a506${'00'.repeat(4)}`
  assert.deepEqual(decodeCompactionRequest(bytesFromHex(`${unknown}0805${unknown}1001`)), {
    revision: 5,
    physical: true,
  })
})

test('what is not a message is refused with the reason', () => {
  refused(decodePutRequest, '0801', /wrong wireType = 0 for field 1/)
  refused(decodePutRequest, '0b0c', /wrong wireType = 3 for field 1/)
  refused(decodePutRequest, 'a306a406', /illegal wireType 3/)
  refused(decodePutRequest, 'a406', /illegal wireType 4/)
  refused(decodePutRequest, 'a706', /illegal wireType 7/)
  refused(decodePutRequest, '0001', /illegal tag 0/)
  refused(decodePutRequest, '80808000', /illegal tag 0/)
  refused(decodePutRequest, `${'ff'.repeat(9)}01`, /illegal tag/)
  refused(decodePutRequest, '0a05aabb', /unexpected EOF/)
  refused(decodePutRequest, '0a', /unexpected EOF/)
  refused(decodePutRequest, `0a${'ff'.repeat(9)}01`, /unexpected EOF/)
  refused(decodePutRequest, `18${'ff'.repeat(10)}01`, /integer overflow/)
  refused(decodePutRequest, 'a1060000', /unexpected EOF/)
  refused(decodeMemberAddRequest, '0a02c328', /not UTF-8/)
})

test('an embedded field cannot reach behind its message', () => {
  // Txn: compare of 2 bytes, in which a key claims 3 bytes that the outer message would have.
  refused(decodeTxnRequest, '0a021a03616263', /unexpected EOF/)
})

test('the last of a field that comes twice counts', () => {
  const put = decodePutRequest(bytesFromHex('0a01611201780a01621200'))
  assert.deepEqual(put.key, utf8Encode('b'))
  assert.deepEqual(put.value, emptyBytes)
})

test('the last member of a oneof counts and clears the others', () => {
  // version 5, value "x", create_revision 7.
  const [compare] = decodeTxnRequest(bytesFromHex('0a0720053a01782807')).compare
  assert.deepEqual([compare?.version, compare?.value, compare?.createRevision], [0, emptyBytes, 7])
  // create, progress, cancel of 5.
  const request = decodeWatchRequest(bytesFromHex('0a001a0012020805'))
  assert.deepEqual(request, { kind: 'cancelRequest', cancelRequest: { watchId: 5 } })
})

test('filters are read packed and one by one, and written packed', () => {
  const filtersOf = (hex: string): readonly number[] => {
    const request = decodeWatchRequest(bytesFromHex(hex))
    assert.ok(request.kind === 'createRequest')
    return request.createRequest.filters
  }
  assert.deepEqual(filtersOf('0a042a020001'), [0, 1])
  assert.deepEqual(filtersOf('0a0428002801'), [0, 1])
  assert.deepEqual(filtersOf('0a052a01012800'), [1, 0])
  const create = {
    key: emptyBytes,
    rangeEnd: emptyBytes,
    startRevision: 0,
    progressNotify: false,
    filters: [1, 0],
    prevKv: false,
    watchId: 0,
    fragment: false,
  }
  const bytes = encodeWatchRequest({ kind: 'createRequest', createRequest: create })
  assert.equal(hexFromBytes(bytes), '0a042a020100')
})

test('transactions nest to a bound', () => {
  const nested = (levels: number): RequestOp => ({
    kind: 'requestTxn',
    requestTxn: { compare: [], success: levels === 0 ? [] : [nested(levels - 1)], failure: [] },
  })
  const request = (levels: number): Uint8Array =>
    encodeTxnRequest({ compare: [], success: [nested(levels)], failure: [] })
  assert.equal(decodeTxnRequest(request(254)).success.length, 1)
  refused(decodeTxnRequest, hexFromBytes(request(300)), /nested deeper than 512/)
})

test('negative and unknown enumeration values stay what they were', () => {
  assert.equal(decodeRangeRequest(bytesFromHex('28ffffffffffffffffff01')).sortOrder, -1)
  assert.equal(decodeRangeRequest(bytesFromHex('2863')).sortOrder, 99)
})

test('bytes handed out are never written again, whatever is encoded later', () => {
  const put = (size: number, fill: number): Uint8Array =>
    encodePutRequest({
      key: utf8Encode('k'),
      value: new Uint8Array(size).fill(fill),
      lease: 0n,
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    })
  const sizes = [0, 1, 100, 20_000, 30_000, 40_000, 64 * 1024, 1_500_000, 5, 60_000, 60_000, 17]
  const encoded = sizes.map((size, index) => put(size, index + 1))
  // A message given up in the middle leaves no bytes behind.
  assert.throws(() => encodeCompactionRequest({ revision: 0.5, physical: true }))
  encoded.push(put(3, 99))
  for (const [index, bytes] of encoded.entries()) {
    const value = decodePutRequest(bytes).value
    assert.equal(value.length, sizes[index] ?? 3)
    assert.ok(value.every((byte) => byte === (index < sizes.length ? index + 1 : 99)))
  }
})

test('decoded bytes are plain views, also of a Buffer', () => {
  const key = decodePutRequest(Buffer.from('0a0161', 'hex')).key
  assert.equal(Object.getPrototypeOf(key), Uint8Array.prototype)
})
