import { methods } from '../../test/support/etcd-messages.ts'
import { encode, type Message } from '../../test/support/protobuf.ts'
import { CallConnection } from './calls.ts'
import { FieldReader } from './fields.ts'
import { keyIndexAt } from './requests.ts'

/** One event as it was read; the object is used again for the next. */
export interface WatchedEvent {
  /** Of the watches of this connection, in the order in which they were asked for. */
  watch: number
  isDelete: boolean
  /** As in `loadKey`. */
  keyIndex: number
  modRevision: number
}

export interface WatchConnectionOptions {
  readonly host: string
  readonly port: number
  event(event: WatchedEvent, nowMs: number): void
  failed(error: unknown): void
}

/** A client as etcd's own is one: all its watches on one stream of one connection. */
export class WatchConnection {
  readonly #options: WatchConnectionOptions
  readonly #calls: CallConnection
  readonly #created = Promise.withResolvers<void>()
  readonly #event: WatchedEvent = { watch: 0, isDelete: false, keyIndex: 0, modRevision: 0 }
  readonly #response = new FieldReader()
  readonly #eventFields = new FieldReader()
  readonly #keyValue = new FieldReader()
  #createdCount = 0
  #expectedCount = 0

  constructor(options: WatchConnectionOptions) {
    this.#options = options
    this.#calls = new CallConnection(options.host, options.port, (error) => options.failed(error))
  }

  /** Resolves when the server has acknowledged every watch. `ranges`: fields of a WatchCreateRequest. Called once. */
  async watch(ranges: readonly Message[]): Promise<void> {
    await this.#calls.ready()
    this.#expectedCount = ranges.length
    const stream = this.#calls.open('watch', {
      message: (bytes, at, end, nowMs) => this.#message(bytes, at, end, nowMs),
      ended: (status) => this.#options.failed(new Error(`a watch stream ended with status ${status}`)),
    })
    for (const range of ranges) stream.send(encode({ create_request: range }, methods.watch.request))
    await this.#created.promise
  }

  destroy(): void {
    this.#calls.destroy()
  }

  /** WatchResponse: header 1, watch_id 2, created 3, canceled 4, compact_revision 5, events 11, in this order. */
  #message(bytes: Buffer, at: number, end: number, nowMs: number): void {
    const fields = this.#response.reset(bytes, at, end)
    this.#event.watch = 0
    while (fields.next()) {
      if (fields.number === 2) this.#event.watch = fields.value
      else if (fields.number === 3) this.#acknowledged()
      else if (fields.number === 11) {
        this.#readEvent(bytes, fields.at, fields.end)
        this.#options.event(this.#event, nowMs)
      } else if (fields.number !== 1) throw new Error(`a watch was cancelled (field ${fields.number})`)
    }
  }

  #acknowledged(): void {
    if (this.#event.watch !== this.#createdCount) throw new Error('watch ids do not count from zero')
    this.#createdCount++
    if (this.#createdCount === this.#expectedCount) this.#created.resolve()
  }

  /** Event: type 1, kv 2; of the kv the key is 1 and mod_revision 3. */
  #readEvent(bytes: Buffer, at: number, end: number): void {
    const event = this.#event
    event.isDelete = false
    const fields = this.#eventFields.reset(bytes, at, end)
    while (fields.next()) {
      if (fields.number === 1) event.isDelete = fields.value === 1
      else if (fields.number === 2) {
        const keyValue = this.#keyValue.reset(bytes, fields.at, fields.end)
        while (keyValue.next()) {
          if (keyValue.number === 1) event.keyIndex = keyIndexAt(bytes, keyValue.end)
          else if (keyValue.number === 3) event.modRevision = keyValue.value
        }
      }
    }
  }
}
