// Calls on streams whose clients say what a test says, without bytes of HTTP/2.
import assert from 'node:assert/strict'
import type { GrpcServices } from '../../grpc/index.ts'
import { fieldOf, type HeaderList, headerList } from '../../hpack/index.ts'
import type { Http2ErrorCode, StreamListener } from '../../http2/index.ts'
import { type CallStream, Calls } from '../index.ts'

export const messageBytesMax = 100_000
export const untakenBytesMax = 1_000_000

export class ScriptedStream implements CallStream {
  #listener: StreamListener | undefined
  readonly isRemoteEnded = false
  /** What its client has not taken of the answer. */
  pendingBytes = 0
  hasHeaders = false
  status: string | undefined

  set listener(listener: StreamListener) {
    this.#listener = listener
  }

  sendHeaders(headers: HeaderList): void {
    this.hasHeaders = true
    this.status = fieldOf(headers, 'grpc-status')
  }

  write(): void {}

  end(trailers: HeaderList): void {
    this.status = fieldOf(trailers, 'grpc-status')
  }

  reset(code: Http2ErrorCode): void {
    this.#listener?.onClose(code)
  }

  hold(): void {}

  release(): void {}

  send(bytes: Uint8Array): void {
    this.#listener?.onData(bytes)
  }
}

export interface ScriptedServer {
  /** A connection: opens calls by their paths. */
  connect(): (path: string) => ScriptedStream
  /** What was to be done after the turn. */
  runLater(): void
}

/** One server. A connection has the bounds above, for what is gathered and for what is not taken. */
export function startServer(services: GrpcServices): ScriptedServer {
  const deferred: (() => void)[] = []
  const calls = new Calls({
    services,
    time: {
      monotonicMs: () => 0,
      wallMs: () => 0,
      startTimer: neverCalled,
      yieldTurn: neverCalled,
      yieldBulkTurn: neverCalled,
    },
    logger: { log: (_level, event) => assert.fail(event) },
    later: (run) => void deferred.push(run),
    gunzip: neverCalled,
    messageBytesMax,
    gatheredBytesMax: messageBytesMax,
    sendBufferBytesMax: 1_000_000,
    untakenBytesMax,
  })
  return {
    connect() {
      const context = calls.context('peer')
      return (path) => {
        const stream = new ScriptedStream()
        const headers = [':method', 'POST', ':path', path, 'content-type', 'application/grpc']
        calls.start(stream, headerList(headers), context)
        return stream
      }
    },
    runLater() {
      for (const run of deferred.splice(0)) run()
    },
  }
}

function neverCalled(): never {
  return assert.fail('nobody asked for it')
}
