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

/** Whether some order of the calls explains every answer. Times are closed intervals: touching calls overlap. */
export function isLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  calls: readonly TimedCall<Input, Output>[],
): boolean {
  const list = new EventList(calls)
  const taken = new Set<number>()
  const tried = new Set<string>()
  const undo: { call: number; before: State }[] = []
  let state = model.initial
  let left = calls.filter((call) => call.answer !== undefined).length
  let event = list.first

  while (left > 0) {
    if (event !== undefined && !event.isReturn) {
      const call = present(calls[event.call], 'events are of calls')
      const next = model.step(state, call.input, call.answer?.output)
      if (next !== undefined) {
        taken.add(event.call)
        const key = `${[...taken].sort((a, b) => a - b).join()}|${model.key(next)}`
        if (!tried.has(key)) {
          tried.add(key)
          undo.push({ call: event.call, before: state })
          state = next
          list.lift(event.call)
          if (call.answer !== undefined) left--
          event = list.first
          continue
        }
        taken.delete(event.call)
      }
      event = event.next
      continue
    }
    // A return that no call before it explains, or the end: the last choice was wrong.
    const last = undo.pop()
    if (last === undefined) return false
    taken.delete(last.call)
    state = last.before
    if (calls[last.call]?.answer !== undefined) left++
    event = list.unlift(last.call)
  }
  return true
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
