// A gRPC client by hand on node:http2, for tests that must say exactly what goes over the wire.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2, { type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2'
import type { TestContext } from 'node:test'
import { decodeGrpcMessage, frameMessage, MessageDecoder } from '../src/grpc/index.ts'
import {
  createGrpcServer,
  type GrpcLimits,
  type GrpcServer,
  type GrpcServerOptions,
} from '../src/grpc-node/index.ts'
import type { Listener, LogFields, Logger } from '../src/io/index.ts'
import { createNodeTime } from '../src/io-node/index.ts'

export type LogLine = { event: string; fields: LogFields | undefined }
export type RecordingLogger = Logger & { lines: LogLine[] }

export function recordingLogger(): RecordingLogger {
  const lines: LogLine[] = []
  return { lines, log: (_level, event, fields) => lines.push({ event, fields }) }
}

export interface TestServer {
  server: GrpcServer
  listener: Listener
  logger: RecordingLogger
  url: string
  connect(): Promise<ClientHttp2Session>
}

let http2Library: 'own' | 'node' = 'own'

/** For all servers of this process from here on. */
export function useHttp2Library(library: 'own' | 'node'): void {
  http2Library = library
}

/** A server on a free port that goes with the test. */
export async function startServer(
  t: TestContext,
  services: GrpcServerOptions['services'],
  limits: Partial<GrpcLimits> = {},
  onHttp1Request?: GrpcServerOptions['onHttp1Request'],
): Promise<TestServer> {
  const logger = recordingLogger()
  const server = createGrpcServer({
    services,
    http2Library,
    time: createNodeTime(),
    logger,
    limits: { closeGraceMs: 50, ...limits },
    ...(onHttp1Request === undefined ? {} : { onHttp1Request }),
  })
  const listener = await server.listen({ host: '127.0.0.1', port: 0 })
  t.after(() => listener.close())
  const url = `http://127.0.0.1:${listener.address.port}`
  return {
    server,
    listener,
    logger,
    url,
    async connect() {
      const session = http2.connect(url)
      session.on('error', () => undefined)
      t.after(() => session.destroy())
      await once(session, 'connect')
      return session
    },
  }
}

export interface Answer {
  headers: IncomingHttpHeaders
  /** Trailers, or the headers when the answer had nothing else. */
  trailers: IncomingHttpHeaders
  status: number
  message: string
  messages: Uint8Array[]
}

export function openCall(
  session: ClientHttp2Session,
  path: string,
  headers: Record<string, string> = {},
): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  })
  stream.on('error', () => undefined)
  return stream
}

/** Waits for the whole answer of a call. */
export async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  let headers: IncomingHttpHeaders = {}
  let trailers: IncomingHttpHeaders | undefined
  const messages: Uint8Array[] = []
  const decoder = new MessageDecoder({ messageBytesMax: 2 ** 32, decompress: undefined })
  stream.on('response', (received) => {
    headers = received
  })
  stream.on('trailers', (received) => {
    trailers = received
  })
  stream.on('data', (chunk: Buffer) => {
    decoder.push(chunk)
    for (let message = decoder.next(); message !== undefined; message = decoder.next()) messages.push(message)
  })
  // Not once(): a stream that was reset has an error before its close, and an answer may stand before both.
  if (!stream.closed) await new Promise((resolve) => stream.on('close', resolve))
  assert.ok(decoder.isBetweenMessages, 'the answer ends inside a message')
  const last = trailers ?? headers
  return {
    headers,
    trailers: last,
    status: Number(last['grpc-status'] ?? -1),
    message: decodeGrpcMessage(String(last['grpc-message'] ?? '')),
    messages,
  }
}

export function callUnary(
  session: ClientHttp2Session,
  path: string,
  message: Uint8Array,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const stream = openCall(session, path, headers)
  stream.end(frameMessage(message))
  return answerOf(stream)
}
