// What a connection keeps of the bytes it received is its own: the memory in which they came may be used again.
import assert from 'node:assert/strict'
import test from 'node:test'
import { concatBytes } from '../base/index.ts'
import { fieldOf, HpackEncoder, headerList } from '../hpack/index.ts'
import { frameFlag, frameType, initialWindowBytes } from './frame.ts'
import { clientPreface, ServerConnection } from './index.ts'
import { OutgoingFrames } from './outgoing-frames.ts'

const limits = {
  streamCountMax: 10,
  headerBytesMax: 1_000,
  streamWindowBytes: initialWindowBytes,
  connectionWindowBytes: initialWindowBytes,
  pendingBytesMax: 1_000,
  resetCountBurst: 10,
  resetCountPerSecond: 0,
  idleFrameCountBurst: 10,
  idleFrameCountPerSecond: 0,
}

test('requests that come in pieces, in memory that is overwritten after each, are what was sent', () => {
  const sent = concatBytes([clientPreface, settings(), ...[1, 3, 5].flatMap(request)])
  for (let pieceBytes = 1; pieceBytes <= sent.length; pieceBytes++) {
    const heard: string[] = []
    const connection = new ServerConnection(limits, {
      onRequest: (stream, headers) => {
        heard.push(`${stream.id} ${fieldOf(headers, ':path')} ${fieldOf(headers, 'word')}`)
      },
      onOutput: () => undefined,
      onEnd: (_code, text) => heard.push(text),
    })
    // A Buffer, as sockets give it: its slice() is a view.
    const memory = Buffer.alloc(pieceBytes)
    for (let at = 0; at < sent.length; at += pieceBytes) {
      const piece = sent.subarray(at, at + pieceBytes)
      memory.set(piece)
      connection.receive(memory.subarray(0, piece.length), 0)
      memory.fill(0xff)
    }
    assert.deepEqual(heard, ['1 /a begun', '3 /a begun', '5 /a begun'], `in pieces of ${pieceBytes}`)
  }
})

function settings(): Uint8Array {
  const frames = new OutgoingFrames()
  frames.settings([])
  return concatBytes(frames.take())
}

/** A request whose header block stands in three frames. */
function request(streamId: number): Uint8Array[] {
  const fields = [':method', 'POST', ':scheme', 'http', ':path', '/a', 'word', 'begun']
  const block = new HpackEncoder().encode(headerList(fields))
  const third = Math.ceil(block.length / 3)
  return [0, 1, 2].map((i) => {
    const part = block.subarray(i * third, (i + 1) * third)
    const flags = i === 2 ? frameFlag.endHeaders : 0
    const type = i === 0 ? frameType.headers : frameType.continuation
    return concatBytes([Uint8Array.of(0, 0, part.length, type, flags, 0, 0, 0, streamId), part])
  })
}
