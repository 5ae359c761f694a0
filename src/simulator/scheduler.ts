import { assert, present } from '../base/index.ts'

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
  /** The bits of a time. */
  readonly #time = new Float64Array(1)
  readonly #timeWords: Uint32Array = new Uint32Array(this.#time.buffer)

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
    this.#digest = mix(this.#digest, value)
  }

  /** Lets the next event happen and all that follows from it at once. False: there is none. */
  async step(): Promise<boolean> {
    const before = this.#eventCount
    await this.runUntil(() => this.#eventCount > before, Number.POSITIVE_INFINITY)
    return this.#eventCount > before
  }

  /** Steps until `condition` holds: true. Until virtual time passes `timeMax` or nothing is left to do: false. */
  runUntil(condition: () => boolean, timeMax: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          this.#afterEach()
          if (condition()) resolve(true)
          else if (this.#happenNext(timeMax)) afterJobs(ask)
          else resolve(false)
        } catch (error) {
          reject(error)
        }
      }
      const ask = (): void => process.nextTick(turn)
      afterJobs(ask)
    })
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

  /** Whether there was an event until `timeMax`. */
  #happenNext(timeMax: number): boolean {
    const next = this.#peekTime()
    if (next === undefined || next > timeMax) return false
    const event = present(this.#pop(), 'what was seen at the top is there')
    assert(event.time >= this.#now, 'virtual time never goes back')
    this.#now = event.time
    this.#eventCount++
    this.#time[0] = event.time
    const half = mix(mix(this.#digest, this.#timeWords[0] as number), this.#timeWords[1] as number)
    this.#digest = mix(half, event.sequence)
    event.callback()
    return true
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

/** A step of MurmurHash3 (32 bits): every bit of `value` changes about half of those of the result. */
function mix(digest: number, value: number): number {
  let bits = Math.imul(value, 0xcc9e2d51)
  bits = Math.imul((bits << 15) | (bits >>> 17), 0x1b873593)
  const mixed = digest ^ bits
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) >>> 0
}

const settled = Promise.resolve()

/**
 * `ask` is called as the first promise job from now on and asks for a tick, which Node takes when no promise job is
 * left. It is the one thing here that is not language; no clock and no other source of order is behind it.
 */
function afterJobs(ask: () => void): void {
  settled.then(ask, ask)
}
