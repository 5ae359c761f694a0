// A process of its own, as what it looks for is a loop that never ends: a client hangs up with a unary call open beside a
// stream that is written to in every turn of the event loop. The argument says whose HTTP/2: own or node. Exits with 0 once
// both calls have heard that they are over.
import { once } from 'node:events'
import http2 from 'node:http2'
import { connect } from 'node:net'
import { frameMessage, type GrpcMethod } from '../../grpc/index.ts'
import { createNodeTime } from '../../io-node/index.ts'
import { createGrpcServer } from '../index.ts'

const message = Uint8Array.of(1)
let openCallCount = 0
const allOver = Promise.withResolvers<void>()

function callIsOver(): void {
  if (--openCallCount === 0) allOver.resolve()
}

const services = new Map<string, GrpcMethod>([
  [
    '/test.Leaving/Stream',
    {
      kind: 'stream',
      handle(stream) {
        openCallCount++
        let isOver = false
        const onClose = (): void => {
          isOver = true
          callIsOver()
        }
        stream.setHandlers({
          onMessage: () => undefined,
          onHalfClose: () => undefined,
          onDrain: () => undefined,
          onClose,
        })
        // After the writes of a turn were handed to the socket and before the closed ones are told: in the last turn
        // this message is the one that HTTP/2 still holds when the connection is gone.
        const sendInEachTurn = (): void => {
          if (isOver) return
          stream.send(message)
          setImmediate(sendInEachTurn)
        }
        sendInEachTurn()
      },
    },
  ],
  [
    '/test.Leaving/Unary',
    {
      kind: 'unary',
      handle(_, call) {
        openCallCount++
        call.onCancel(callIsOver)
        return new Promise(() => undefined)
      },
    },
  ],
])

const http2Library = process.argv[2] === 'node' ? 'node' : 'own'
const server = createGrpcServer({
  services,
  http2Library,
  time: createNodeTime(),
  logger: { log: () => undefined },
})
const listener = await server.listen({ host: '127.0.0.1', port: 0 })
const socket = connect(listener.address.port, '127.0.0.1')
const session = http2.connect('http://127.0.0.1', { createConnection: () => socket })
session.on('error', () => undefined)
const open = (path: string): http2.ClientHttp2Stream => {
  const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' })
  stream.on('error', () => undefined)
  stream.write(frameMessage(message))
  return stream
}
const answers = open('/test.Leaving/Stream')
open('/test.Leaving/Unary').end()
await once(answers, 'data')
while (openCallCount < 2) await once(answers, 'data')
socket.end()
await allOver.promise
await listener.close()
