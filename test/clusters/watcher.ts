// One recorded watch: when its stream ends it is opened again from the revision after the last one that it knows
// complete, at the same node or at any; each stream is recorded for the checker.
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../src/base/index.ts'
import { type WatchMessage, type WatchRequest, wholeSpan } from '../../src/simulator/index.ts'
import type { GrpcStream } from '../support/grpc-client.ts'
import { messagesOf, numberOf, revisionOf } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'
import type { Seat } from './cluster.ts'
import { spanMessage, toldEventOf } from './messages.ts'
import { Connection, type Recorder } from './recorder.ts'

const reopenAfterMs = 50
const pollMs = 250

interface OpenWatch {
  readonly name: string
  readonly request: WatchRequest
  readonly messages: WatchMessage[]
  createdRevision: number | undefined
}

export class RecordedWatcher {
  readonly name: string
  readonly request: WatchRequest
  /** Events told so far. */
  toldCount = 0
  readonly #seats: readonly Seat[]
  readonly #recorder: Recorder
  readonly #random: SeededRandom
  readonly #asksProgress: boolean
  #connection: Connection | undefined
  #next: number
  #opened = 0
  #isStopped = false
  #completeThrough = 0

  constructor(setup: {
    name: string
    request: WatchRequest
    /** Where it may be opened. */
    seats: readonly Seat[]
    recorder: Recorder
    random: SeededRandom
    /** Whether it asks for marks on its own. */
    asksProgress: boolean
  }) {
    this.name = setup.name
    this.request = setup.request
    this.#seats = setup.seats
    this.#recorder = setup.recorder
    this.#random = setup.random
    this.#asksProgress = setup.asksProgress
    this.#next = setup.request.startRevision
  }

  /** Every revision below it was told or is known to hold nothing for this watch. */
  get nextRevision(): number {
    return this.#next
  }

  /** Ends it; what is still open must have told everything up to `completeThrough`; 0: no claim. */
  stop(completeThrough: number): void {
    this.#isStopped = true
    this.#completeThrough = completeThrough
    this.#connection?.close()
  }

  cut(): void {
    this.#connection?.close()
  }

  async run(): Promise<void> {
    while (!this.#isStopped) {
      const seat = this.#random.pick(this.#seats)
      if (!seat.isDown) await this.#watchOnce(seat)
      if (!this.#isStopped) await sleep(reopenAfterMs)
    }
  }

  async #watchOnce(seat: Seat): Promise<void> {
    const connection = new Connection(seat)
    this.#connection = connection
    const request = { ...this.request, startRevision: this.#next }
    const watch: OpenWatch = {
      name: `${this.name}.${++this.#opened} at ${connection.life} from ${this.#next}`,
      request,
      messages: [],
      createdRevision: undefined,
    }
    const stream = connection.grpc.openStream('watch')
    stream.send({ create_request: createMessage(request) })
    await this.#listen(stream, watch)
    connection.close()
    if (watch.createdRevision === undefined) return
    this.#recorder.watches.push({
      name: watch.name,
      request,
      createdRevision: watch.createdRevision,
      messages: watch.messages,
      completeThrough: this.#isStopped ? this.#completeThrough : 0,
    })
  }

  async #listen(stream: GrpcStream, watch: OpenWatch): Promise<void> {
    while (!this.#isStopped && stream.ended === undefined) {
      const message = await stream.next(pollMs)
      if (message === undefined) {
        if (this.#asksProgress) stream.send({ progress_request: {} })
        continue
      }
      if (!this.#take(watch, message)) return
    }
  }

  /** False when the stream is over. */
  #take(watch: OpenWatch, message: Message): boolean {
    const revision = revisionOf(message)
    if (message.canceled === true) {
      const compactRevision = numberOf(message.compact_revision)
      if (compactRevision === 0) return false
      watch.messages.push({ kind: 'compacted', compactRevision })
      this.#next = Math.max(this.#next, compactRevision + 1)
      return false
    }
    this.#recorder.collector.sightings.push({ revision, seenAt: this.#recorder.now })
    if (message.created === true) {
      watch.createdRevision = revision
      if (this.#next === 0) this.#next = revision + 1
      return true
    }
    const events = messagesOf(message.events).map(toldEventOf)
    if (events.length === 0) {
      watch.messages.push({ kind: 'progress', revision })
      this.#next = Math.max(this.#next, revision + 1)
      return true
    }
    this.toldCount += events.length
    const fragment = message.fragment === true
    watch.messages.push({ kind: 'events', revision, events, fragment })
    const last = events.at(-1)?.revision ?? 0
    // A revision whose fragments are still coming is not complete.
    this.#next = Math.max(this.#next, fragment ? last : last + 1)
    if (this.#isWhole) this.#collect(watch, events)
    return true
  }

  get #isWhole(): boolean {
    const { key, end, noPut, noDelete, fragment } = this.request
    return key === wholeSpan.key && end === wholeSpan.end && !noPut && !noDelete && !fragment
  }

  /** Without fragments a revision comes whole. */
  #collect(watch: OpenWatch, told: readonly ReturnType<typeof toldEventOf>[]): void {
    for (const revision of new Set(told.map((one) => one.revision))) {
      const events = told.filter((one) => one.revision === revision).map((one) => one.event)
      this.#recorder.collector.add(watch.name, { revision, events })
    }
  }
}

function createMessage(request: WatchRequest): Message {
  const filters = [...(request.noPut ? [0] : []), ...(request.noDelete ? [1] : [])]
  return {
    ...spanMessage(request),
    start_revision: request.startRevision,
    prev_kv: request.previous,
    fragment: request.fragment,
    filters,
  }
}
