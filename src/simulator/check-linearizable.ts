/**
 * Linearizability by search, for small and adversarial histories: Wing and Gong's algorithm with Lowe's cache of
 * (calls taken, state), as Porcupine has it. Exponential in the number of calls that overlap, so for histories of one
 * key. A call of unknown outcome never returns: it may take effect at any time after it began, or not at all.
 */
import { present } from '../base/index.ts'

export interface TimedCall<Input, Output> {
  readonly input: Input
  readonly calledAt: number
  /** Undefined: the outcome is unknown. */
  readonly answer: { readonly output: Output; readonly returnedAt: number } | undefined
}

export interface SequentialModel<State, Input, Output> {
  readonly initial: State
  /** The state after it, or undefined when this output is impossible. `output` undefined: whatever it was. */
  step(state: State, input: Input, output: Output | undefined): State | undefined
  /** Equal texts exactly for equal states. */
  key(state: State): string
}

/** `unknown`: the search was cut short. Whoever wanted a proof has none, so treat it as a failure. */
export type LinearizabilityVerdict = 'linearizable' | 'not linearizable' | 'unknown'

export interface SearchResult {
  readonly verdict: LinearizabilityVerdict
  /** Steps of the model that were tried. */
  readonly steps: number
  /** The longest order that was found, as places in the list of calls. */
  readonly longest: readonly number[]
}

/** True when some order of the calls explains every answer, however long the search takes. */
export function isLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  calls: readonly TimedCall<Input, Output>[],
): boolean {
  return searchLinearization(model, calls, Number.POSITIVE_INFINITY).verdict === 'linearizable'
}

/**
 * Looks for an order of the calls that explains every answer, with at most `stepsMax` steps of the model. Times are
 * closed intervals: touching calls overlap.
 */
export function searchLinearization<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  calls: readonly TimedCall<Input, Output>[],
  stepsMax: number,
): SearchResult {
  const list = new EventList(calls)
  const taken = new PlaceSet(calls.length)
  const tried = new Set<string>()
  const undo: { call: number; state: State; key: string }[] = []
  let longest: number[] = []
  let state = model.initial
  let key = model.key(state)
  let left = calls.filter((call) => call.answer !== undefined).length
  let event = list.first
  let steps = 0
  const result = (verdict: LinearizabilityVerdict): SearchResult => ({ verdict, steps, longest })

  /** Takes the call when it may come next in an order that was not tried yet. */
  const take = (place: number): boolean => {
    const call = present(calls[place], 'events are of calls')
    const next = model.step(state, call.input, call.answer?.output)
    if (next === undefined) return false
    const nextKey = model.key(next)
    // A call that nobody had an answer to and that changes nothing need not have happened.
    if (call.answer === undefined && nextKey === key) return false
    taken.toggle(place)
    const position = `${taken.text()}|${nextKey}`
    if (tried.has(position)) {
      taken.toggle(place)
      return false
    }
    tried.add(position)
    undo.push({ call: place, state, key })
    state = next
    key = nextKey
    if (call.answer !== undefined) left--
    return true
  }

  while (left > 0) {
    if (event !== undefined && !event.isReturn) {
      if (steps++ >= stepsMax) return result('unknown')
      if (take(event.call)) {
        list.lift(event.call)
        event = list.first
      } else {
        event = event.next
      }
      continue
    }
    // A return that no call before it explains, or the end: the last choice was wrong.
    if (undo.length > longest.length) longest = undo.map(({ call }) => call)
    const last = undo.pop()
    if (last === undefined) return result('not linearizable')
    taken.toggle(last.call)
    state = last.state
    key = last.key
    if (calls[last.call]?.answer !== undefined) left++
    event = list.unlift(last.call)
  }
  longest = undo.map(({ call }) => call)
  return result('linearizable')
}

/**
 * Splits calls into parts that share no key, however indirectly. A history is linearizable exactly when each part is
 * (Herlihy and Wing's locality; Horn and Kroening's P-compositionality), provided that no part of the state is common:
 * the search is exponential in what overlaps, so it is far cheaper by part. Calls without a key form one part.
 */
export function partitionCalls<Call>(
  calls: readonly Call[],
  keysOf: (call: Call) => readonly string[],
): Call[][] {
  const parents = new Map<string, string>()
  const rootOf = (key: string): string => {
    let root = key
    for (let parent = parents.get(root); parent !== undefined; parent = parents.get(root)) root = parent
    // Every key on the way is hung on the root, so that the next way is short.
    for (let at = key; at !== root; ) {
      const parent = parents.get(at) ?? root
      parents.set(at, root)
      at = parent
    }
    return root
  }
  for (const call of calls) {
    const [first, ...others] = keysOf(call)
    if (first === undefined) continue
    for (const other of others) {
      const root = rootOf(first)
      const otherRoot = rootOf(other)
      if (otherRoot !== root) parents.set(otherRoot, root)
    }
  }
  const keyless: Call[] = []
  const parts = new Map<string, Call[]>()
  for (const call of calls) {
    const [first] = keysOf(call)
    const part = first === undefined ? keyless : (parts.get(rootOf(first)) ?? [])
    if (first !== undefined) parts.set(rootOf(first), part)
    part.push(call)
  }
  return keyless.length === 0 ? [...parts.values()] : [keyless, ...parts.values()]
}

/** A set of places in a list; equal sets have equal texts. */
class PlaceSet {
  readonly #words: Uint16Array

  constructor(size: number) {
    this.#words = new Uint16Array((size + 15) >> 4)
  }

  toggle(place: number): void {
    const word = place >> 4
    this.#words[word] = (this.#words[word] ?? 0) ^ (1 << (place & 15))
  }

  text(): string {
    return String.fromCharCode(...this.#words)
  }
}

interface ListedEvent {
  readonly call: number
  readonly isReturn: boolean
  previous: ListedEvent | undefined
  next: ListedEvent | undefined
}

/** Calls and returns in time order; taking a call lifts both out, and puts them back in reverse order. */
class EventList {
  first: ListedEvent | undefined
  readonly #calls = new Map<number, ListedEvent>()
  readonly #returns = new Map<number, ListedEvent>()

  constructor(calls: readonly TimedCall<unknown, unknown>[]) {
    const events: { event: ListedEvent; time: number }[] = []
    const addEvent = (call: number, isReturn: boolean, time: number): void => {
      const event: ListedEvent = { call, isReturn, previous: undefined, next: undefined }
      const map = isReturn ? this.#returns : this.#calls
      map.set(call, event)
      events.push({ event, time })
    }
    for (const [position, call] of calls.entries()) {
      addEvent(position, false, call.calledAt)
      if (call.answer !== undefined) addEvent(position, true, call.answer.returnedAt)
    }
    // At equal times calls come before returns: the intervals are closed.
    events.sort((a, b) => a.time - b.time || Number(a.event.isReturn) - Number(b.event.isReturn))
    let previous: ListedEvent | undefined
    for (const { event } of events) {
      event.previous = previous
      if (previous === undefined) this.first = event
      else previous.next = event
      previous = event
    }
  }

  lift(call: number): void {
    this.#remove(present(this.#calls.get(call), 'the call is listed'))
    const returned = this.#returns.get(call)
    if (returned !== undefined) this.#remove(returned)
  }

  /** Where to go on after the choice of `call` was taken back. */
  unlift(call: number): ListedEvent | undefined {
    const returned = this.#returns.get(call)
    if (returned !== undefined) this.#insert(returned)
    const called = present(this.#calls.get(call), 'the call is listed')
    this.#insert(called)
    return called.next
  }

  #remove(event: ListedEvent): void {
    if (event.previous === undefined) this.first = event.next
    else event.previous.next = event.next
    if (event.next !== undefined) event.next.previous = event.previous
  }

  #insert(event: ListedEvent): void {
    if (event.previous === undefined) this.first = event
    else event.previous.next = event
    if (event.next !== undefined) event.next.previous = event
  }
}

export type RegisterInput =
  | { readonly kind: 'write'; readonly value: string }
  | { readonly kind: 'read' }
  | { readonly kind: 'swap'; readonly from: string; readonly to: string }
/** Of a read the value, of a compare-and-swap whether it took place, of a write nothing. */
export type RegisterOutput = string | boolean | null

/** One register with read, write and compare-and-swap. */
export function registerModel(initial: string): SequentialModel<string, RegisterInput, RegisterOutput> {
  return {
    initial,
    key: (state) => state,
    step: (state, input, output) => {
      switch (input.kind) {
        case 'write':
          return input.value
        case 'read':
          return output === undefined || output === state ? state : undefined
        default: {
          const succeeds = state === input.from
          if (output !== undefined && output !== succeeds) return undefined
          return succeeds ? input.to : state
        }
      }
    },
  }
}
