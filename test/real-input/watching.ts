// Watches on two servers. How events are cut into responses is the server's choice and is not compared; which events
// come, in what order and with what content is, and that no revision is split over two responses.
import type { GrpcStream } from '../support/grpc-client.ts'
import { bytesOf, messageOf, messagesOf, numberOf, revisionOf } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'
import { type Canonical, canonicalMessage } from './normalise.ts'
import type { Pair, Side } from './pair.ts'

const deadlineMs = 60_000

export type WatchedEvent = { revision: number; key: Uint8Array; canonical: Canonical }

/** The events of one watch on one side as they come, revision by revision. */
class HistoryReader {
  readonly #side: Side
  readonly #stream: GrpcStream
  #events: WatchedEvent[] = []
  #at = 0
  #lastRevision = 0
  /** What the server did that it must not, if anything. */
  fault: string | undefined

  constructor(side: Side, request: Message) {
    this.#side = side
    this.#stream = side.client.openStream('watch')
    this.#stream.send({ create_request: request })
  }

  async next(): Promise<WatchedEvent | undefined> {
    while (this.#at >= this.#events.length) {
      const response = await this.#stream.next(deadlineMs)
      if (response === undefined) {
        this.fault ??= `no event within ${deadlineMs} ms, stream ${JSON.stringify(this.#stream.ended ?? 'open')}`
        return undefined
      }
      if (response.canceled === true) {
        this.fault ??= `canceled: ${JSON.stringify(canonicalMessage(response, this.#side.leases))}`
        return undefined
      }
      this.#events = eventsOf(response, this.#side)
      this.#at = 0
      this.fault ??= atomicityFault(this.#events, this.#lastRevision, response)
      this.#lastRevision = this.#events.at(-1)?.revision ?? this.#lastRevision
    }
    return this.#events[this.#at++]
  }

  close(): void {
    this.#stream.close()
  }
}

/** Compares the whole history that a watch delivers, up to `lastRevision`. Resolves with the number of events. */
export async function compareHistory(pair: Pair, request: Message, lastRevision: number): Promise<number> {
  const readers = [new HistoryReader(pair.a, request), new HistoryReader(pair.b, request)] as const
  let count = 0
  try {
    for (;;) {
      const [a, b] = await Promise.all([readers[0].next(), readers[1].next()])
      if (a === undefined || b === undefined) {
        // Both silent is a fault too: the history is known to go on to `lastRevision`.
        pair.compare({
          subject: 'watch deadline',
          request,
          a: a === undefined ? (readers[0].fault ?? 'no event') : 'goes on',
          b: b === undefined ? (readers[1].fault ?? 'no event') : 'goes on',
        })
        throw new Error(`a watch ended after ${count} events: a ${readers[0].fault} | b ${readers[1].fault}`)
      }
      count++
      if (!pair.compare({ subject: 'watch events', request, a: a.canonical, b: b.canonical })) return count
      if (a.revision >= lastRevision) break
    }
    pair.compare({
      subject: 'watch atomicity',
      request,
      a: readers[0].fault ?? 'kept',
      b: readers[1].fault ?? 'kept',
    })
    return count
  } finally {
    for (const reader of readers) reader.close()
  }
}

export function eventsOf(response: Message, side: Side): WatchedEvent[] {
  const events = messagesOf(response.events)
  return (side.plant?.changeEvents(events) ?? events).map((event) => ({
    revision: numberOf(messageOf(event.kv).mod_revision),
    key: bytesOf(messageOf(event.kv).key),
    canonical: canonicalMessage(event, side.leases),
  }))
}

/** What is wrong with this response after events up to `lastRevision`; undefined when it is in order. */
export function atomicityFault(
  events: readonly WatchedEvent[],
  lastRevision: number,
  response: Message,
): string | undefined {
  let last = lastRevision
  for (const [i, { revision }] of events.entries()) {
    if (i === 0 && revision === last && response.fragment !== true) return `revision ${revision} is split`
    if (revision < last) return `revision ${revision} after ${last}`
    last = revision
  }
  const header = revisionOf(response)
  if (events.length > 0 && header < last) return `header revision ${header} below an event of ${last}`
  return undefined
}

/** One watch of a random run, on both sides. */
export class PairedWatch {
  readonly request: Message
  /** The first revision whose events it must deliver. */
  first = 0
  /** Whether it started in history and is not known to have caught up. */
  behind = false
  readonly events: { a: WatchedEvent[]; b: WatchedEvent[] } = { a: [], b: [] }
  readonly faults: { a: string | undefined; b: string | undefined } = { a: undefined, b: undefined }
  /** Events compared so far. */
  compared = 0

  constructor(request: Message) {
    this.request = request
  }
}

/** One watch stream on both sides, carrying any number of watches. */
export class WatchStreamPair {
  /** Whether a watch of the stream was canceled by compaction: etcd does not free the id of such a one. */
  hasCompacted = false
  readonly #pair: Pair
  readonly #sides: readonly StreamSide[]

  constructor(pair: Pair) {
    this.#pair = pair
    this.#sides = [new StreamSide(pair.a), new StreamSide(pair.b)]
  }

  /** Both acknowledgements are compared. Undefined: the server refused the watch. */
  async create(request: Message, expectCompacted: boolean): Promise<PairedWatch | undefined> {
    const watch = new PairedWatch(request)
    for (const side of this.#sides) side.send({ create_request: request })
    const created = await this.#compareControl(request)
    if (created === undefined || created.canceled === true) return undefined
    for (const side of this.#sides) side.adopt(watch)
    if (!expectCompacted) return watch
    this.hasCompacted = true
    await this.#compareControl(request)
    return undefined
  }

  async cancel(watch: PairedWatch): Promise<void> {
    for (const side of this.#sides) side.send({ cancel_request: { watch_id: side.idOf(watch) } })
    await this.#compareControl({ cancel_request: {} })
    for (const side of this.#sides) side.forget(watch)
  }

  /** Only when every watch of the stream has caught up: else servers may leave the request unanswered. */
  async progress(): Promise<void> {
    for (const side of this.#sides) side.send({ progress_request: {} })
    await this.#compareControl({ progress_request: {} })
  }

  /** Waits until both sides have delivered `count` events to `watch`. False: the deadline passed. */
  async deliver(watch: PairedWatch, count: number): Promise<boolean> {
    const reached = await Promise.all(this.#sides.map((side) => side.deliver(watch, count)))
    return reached.every((yes) => yes)
  }

  takeArrived(): void {
    for (const side of this.#sides) side.takeArrived()
  }

  close(): void {
    for (const side of this.#sides) side.close()
  }

  async #compareControl(request: Message): Promise<Message | undefined> {
    const [a, b] = await Promise.all(this.#sides.map((side) => side.nextControl()))
    this.#pair.compare({
      subject: 'watch control',
      request,
      a: a?.canonical ?? 'none',
      b: b?.canonical ?? 'none',
    })
    return a?.message
  }
}

type Control = { message: Message; canonical: Canonical }

class StreamSide {
  readonly #side: Side
  readonly #stream: GrpcStream
  readonly #watches = new Map<number, PairedWatch>()
  readonly #controls: Control[] = []
  /** Events that arrived between a watch's acknowledgement and its adoption. */
  readonly #early = new Map<number, Message[]>()
  #lastCreated = 0

  constructor(side: Side) {
    this.#side = side
    this.#stream = side.client.openStream('watch')
  }

  send(message: Message): void {
    this.#stream.send(message)
  }

  idOf(watch: PairedWatch): number {
    for (const [id, other] of this.#watches) if (other === watch) return id
    return -1
  }

  adopt(watch: PairedWatch): void {
    this.#watches.set(this.#lastCreated, watch)
    for (const message of this.#early.get(this.#lastCreated) ?? []) this.#record(watch, message)
    this.#early.delete(this.#lastCreated)
  }

  forget(watch: PairedWatch): void {
    this.#watches.delete(this.idOf(watch))
  }

  async nextControl(): Promise<Control | undefined> {
    while (this.#controls.length === 0) {
      const message = await this.#stream.next(deadlineMs)
      if (message === undefined) return undefined
      this.#sort(message)
    }
    const control = this.#controls.shift()
    if (control?.message.created === true) this.#lastCreated = numberOf(control.message.watch_id)
    return control
  }

  async deliver(watch: PairedWatch, count: number): Promise<boolean> {
    while (watch.events[this.#side.label].length < count) {
      const message = await this.#stream.next(deadlineMs)
      if (message === undefined) return false
      this.#sort(message)
    }
    return true
  }

  takeArrived(): void {
    for (const message of this.#stream.takeAll()) this.#sort(message)
  }

  close(): void {
    this.#stream.close()
  }

  #sort(message: Message): void {
    const isProgress = messagesOf(message.events).length === 0
    if (message.created === true || message.canceled === true || isProgress) {
      this.#controls.push({ message, canonical: canonicalMessage(message, this.#side.leases) })
      return
    }
    const id = numberOf(message.watch_id)
    const watch = this.#watches.get(id)
    if (watch !== undefined) {
      this.#record(watch, message)
      return
    }
    const early = this.#early.get(id) ?? []
    early.push(message)
    this.#early.set(id, early)
  }

  #record(watch: PairedWatch, message: Message): void {
    const { label } = this.#side
    const events = eventsOf(message, this.#side)
    const last = watch.events[label].at(-1)?.revision ?? 0
    watch.faults[label] ??= atomicityFault(events, last, message)
    watch.events[label].push(...events)
  }
}
