import { concatBytes, utf8Encode } from '../../src/base/index.ts'
import { fieldOf, HpackDecoder, HpackEncoder, HpackError, headerList } from '../../src/hpack/index.ts'
import { clientPreface, ServerConnection } from '../../src/http2/index.ts'
import type { FuzzTarget } from './target.ts'

/** What a client may send before anything of gRPC is looked at: header blocks, and whole connections. */
export function http2Targets(): FuzzTarget[] {
  return [blocks, connection]
}

const requests = [
  [':method', 'POST', ':scheme', 'http', ':path', '/etcdserverpb.KV/Put', ':authority', '127.0.0.1:2379'],
  ['content-type', 'application/grpc', 'te', 'trailers', 'grpc-timeout', '5S', 'user-agent', 'a/1.0'],
]

function encoded(fields: readonly (readonly string[])[]): Uint8Array[] {
  const encoder = new HpackEncoder()
  return fields.flatMap((some) => {
    const list = headerList(some)
    return [encoder.encodeConstant(list), encoder.encodeConstant(list), encoder.encode(list)]
  })
}

/** Blocks of one connection, each behind its length in a byte: later ones depend on what earlier ones left. */
const blocks: FuzzTarget = {
  name: 'hpack.blocks',
  seeds: [
    concatBytes(encoded(requests).flatMap((block) => [Uint8Array.of(block.length), block])),
    concatBytes([Uint8Array.of(3, 0x3f, 0xe1, 0x1f), Uint8Array.of(5, 0x82, 0x86, 0x41, 0x81, 0x1f)]),
  ],
  read(input) {
    const decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 2_000 })
    let fields = 0
    let tooLarge = 0
    for (let at = 0; at < input.length; ) {
      const end = at + 1 + (input[at] as number)
      try {
        const list = decoder.decode(input.subarray(at + 1, end))
        fields += list.fields.length / 2
        if (list.isTooLarge) tooLarge++
      } catch (error) {
        if (!(error instanceof HpackError)) throw error
        return {
          fields,
          tooLarge,
          refusal: error.message
            .replaceAll(/[0-9]+/g, '')
            .replaceAll(' ', '')
            .slice(0, 11),
        }
      }
      at = end
    }
    return { fields, tooLarge, refusal: '' }
  },
  refusals: [],
}

function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Uint8Array {
  const { length } = payload
  return concatBytes([
    Uint8Array.of(length >> 16, length >> 8, length, type, flags, 0, 0, 0, streamId),
    payload,
  ])
}

const [request, again] = encoded([requests.flat()]) as [Uint8Array, Uint8Array]
const settings = frame(4, 0, 0, new Uint8Array(0))
const message = utf8Encode('\0\0\0\0\x05hello')

/** All that follows the preface. Every request is answered with what came for it. */
const connection: FuzzTarget = {
  name: 'http2.connection',
  seeds: [
    concatBytes([settings, frame(1, 5, 1, request), frame(1, 4, 3, again), frame(0, 1, 3, message)]),
    concatBytes([
      frame(4, 0, 0, Uint8Array.of(0, 4, 0, 0, 0, 9, 0, 1, 0, 0, 0, 0)),
      frame(1, 0x24, 1, concatBytes([Uint8Array.of(0, 0, 0, 0, 16), request])),
      frame(0, 8, 1, concatBytes([Uint8Array.of(2), message, new Uint8Array(2)])),
      frame(8, 0, 1, Uint8Array.of(0, 0, 0, 200)),
      frame(6, 0, 0, new Uint8Array(8)),
      frame(0, 1, 1, new Uint8Array(0)),
    ]),
    concatBytes([
      settings,
      frame(1, 0, 1, request.subarray(0, 20)),
      frame(9, 4, 1, request.subarray(20)),
      frame(3, 0, 1, Uint8Array.of(0, 0, 0, 8)),
      frame(7, 0, 0, new Uint8Array(8)),
    ]),
  ],
  read(input) {
    const heard: string[] = []
    const server = new ServerConnection(connectionLimits, {
      onRequest(stream, headers) {
        heard.push(`request ${fieldOf(headers, ':method')}`)
        stream.sendHeaders(answerHeaders, true, false)
        stream.listener = {
          onData: (bytes) => stream.write(bytes),
          onEnd: () => stream.end(answerTrailers, true),
          onDrain: () => heard.push('drain'),
          onLocalEnd: () => heard.push('answered'),
          onClose: (code) => heard.push(`closed ${code}`),
        }
      },
      onOutput: () => undefined,
      onEnd: (code) => heard.push(`over ${code}`),
    })
    server.receive(clientPreface, 0)
    server.receive(input, 0)
    const output = concatBytes(server.take())
    server.lost()
    return { heard, output }
  },
  refusals: [],
}

const answerHeaders = headerList([':status', '200'])
const answerTrailers = headerList(['grpc-status', '0'])
const connectionLimits = {
  streamCountMax: 10,
  headerBytesMax: 2_000,
  streamWindowBytes: 65_535,
  connectionWindowBytes: 65_535,
  pendingBytesMax: 400_000,
  resetCountBurst: 10,
  resetCountPerSecond: 1,
  idleFrameCountBurst: 100,
  idleFrameCountPerSecond: 1,
}
