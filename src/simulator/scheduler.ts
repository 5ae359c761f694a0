import { assert, crc32c } from '../base/index.ts'

/**
 * Virtual time: a binary heap of events keyed (time, sequence). Everything that happens in a simulation is one of
 * its events, so one seed gives one order.
 *
 * Async code under simulation awaits things that an event resolves (a disk operation, a timer, bytes from the
 * network). After each event the scheduler lets all promise jobs run that follow from it, and only then takes the next
 * one: an event and what it causes at once are one step. The order of promise jobs is fixed by the language.
 *
 * The digest runs over (time, sequence) of all events and over every number given to `note` (the network notes the
 * checksum of what it delivers, the disk of what it writes). Two runs of one seed must end with the same digest.
 */
export class Scheduler {
  #heap: ScheduledEvent[] = []
  #afterEach: () => void = () => undefined
  #sequence = 0
  #now = 0
  #eventCount = 0
  #digest = 0
  readonly #record = new DataView(new ArrayBuffer(12))
  readonly #recordBytes: Uint8Array = new Uint8Array(this.#record.buffer)

  /** Milliseconds since the start of the simulation, with fractions. */
  get now(): number {
    return this.#now
  }

  /** Events that have happened. */
  get eventCount(): number {
    return this.#eventCount
  }

  /** Unsigned 32 bits over everything that has happened. */
  get digest(): number {
    return this.#digest
  }

  /** Runs `callback` as an event of its own at `time`; not before now. What it throws ends the run. */
  at(time: number, callback: () => void): ScheduledEvent {
    assert(Number.isFinite(time), 'an event has a finite time')
    const event: ScheduledEvent = {
      time: Math.max(time, this.#now),
      sequence: this.#sequence++,
      callback,
      cancelled: false,
    }
    this.#push(event)
    return event
  }

  after(delayMs: number, callback: () => void): ScheduledEvent {
    return this.at(this.#now + delayMs, callback)
  }

  cancel(event: ScheduledEvent): void {
    event.cancelled = true
  }

  /** Resolves in an event after `delayMs`. */
  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve)
    })
  }

  /** `look` is called after each event and all that followed from it at once. It must change nothing. */
  afterEach(look: () => void): void {
    this.#afterEach = look
  }

  /** Mixes an unsigned 32-bit number into the digest. */
  note(value: number): void {
    this.#record.setUint32(0, value >>> 0, true)
    this.#digest = crc32c(this.#recordBytes, this.#digest, 0, 4)
  }

  /** Lets the next event happen and all that follows from it at once. False: there is none. */
  async step(): Promise<boolean> {
    const event = this.#takeNext()
    if (event === undefined) return false
    assert(event.time >= this.#now, 'virtual time never goes back')
    this.#now = event.time
    this.#eventCount++
    this.#record.setFloat64(0, event.time, true)
    this.#record.setUint32(8, event.sequence, true)
    this.#digest = crc32c(this.#recordBytes, this.#digest)
    event.callback()
    await settle()
    this.#afterEach()
    return true
  }

  /** Steps until `condition` holds: true. Until virtual time passes `timeMax` or nothing is left to do: false. */
  async runUntil(condition: () => boolean, timeMax: number): Promise<boolean> {
    await settle()
    while (!condition()) {
      const next = this.#peekTime()
      if (next === undefined || next > timeMax) return false
      await this.step()
    }
    return true
  }

  /** Lets `durationMs` of virtual time pass with all that happens in it. */
  async run(durationMs: number): Promise<void> {
    const end = this.#now + durationMs
    await this.runUntil(() => false, end)
    this.#now = Math.max(this.#now, end)
  }

  /** Steps until `promise` has settled and gives its outcome; fails when it has not within `durationMs`. */
  async complete<T>(promise: Promise<T>, durationMs = 60_000): Promise<T> {
    let isSettled = false
    const mark = (): void => {
      isSettled = true
    }
    promise.then(mark, mark)
    const done = await this.runUntil(() => isSettled, this.#now + durationMs)
    assert(done, `a promise did not settle within ${durationMs} ms of virtual time`)
    return promise
  }

  #takeNext(): ScheduledEvent | undefined {
    for (;;) {
      const event = this.#pop()
      if (event === undefined || !event.cancelled) return event
    }
  }

  #peekTime(): number | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined) return undefined
      if (!first.cancelled) return first.time
      this.#pop()
    }
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap
    let position = heap.length
    heap.push(event)
    while (position > 0) {
      const parent = (position - 1) >> 1
      const above = heap[parent] as ScheduledEvent
      if (!isBefore(event, above)) break
      heap[position] = above
      position = parent
    }
    heap[position] = event
  }

  #pop(): ScheduledEvent | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let position = 0
    for (;;) {
      let child = 2 * position + 1
      if (child >= heap.length) break
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, heap[child] as ScheduledEvent)) child++
      const below = heap[child] as ScheduledEvent
      if (!isBefore(below, last)) break
      heap[position] = below
      position = child
    }
    heap[position] = last
    return first
  }
}

export interface ScheduledEvent {
  readonly time: number
  readonly sequence: number
  readonly callback: () => void
  cancelled: boolean
}

function isBefore(left: ScheduledEvent, right: ScheduledEvent): boolean {
  return left.time < right.time || (left.time === right.time && left.sequence < right.sequence)
}

/**
 * Resolves when no promise job is left: Node takes the next tick only then. It is the one thing here that is not
 * language; no clock and no other source of order is behind it.
 */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve)
  })
}
