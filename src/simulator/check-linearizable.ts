/**
 * Linearizability by search, for small and adversarial histories: Wing and Gong's algorithm with Lowe's cache of
 * (calls taken, state), as Porcupine has it. Exponential in the number of calls that overlap, so for histories of one
 * key, or of parts that share none. A call of unknown outcome never returns: it may take effect at any time after it
 * began, or not at all; so a position is only worth trying when fewer of them were needed to get there.
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
  /** Whether a call with this output changes nothing in any state where it is possible: it is then never put off. */
  isRead(input: Input, output: Output): boolean
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
  return new Search(model, calls, stepsMax).run()
}

/** A call that was taken, and the state before it. */
interface Choice<State> {
  readonly place: number
  /** Undefined: a call without an answer, at `openPlace` of their list. */
  readonly node: ListedCall | undefined
  readonly openPlace: number
  /** A read: every order that goes on from here may as well begin with it, so that no other choice is worth trying. */
  readonly isForced: boolean
  readonly state: State
  readonly key: string
}

/** Depth first; tried first is what must return first, and calls without an answer last. */
class Search<State, Input, Output> {
  readonly #model: SequentialModel<State, Input, Output>
  readonly #calls: readonly TimedCall<Input, Output>[]
  readonly #stepsMax: number
  readonly #answered: AnsweredList
  /** Places of the calls without an answer, as they were called. */
  readonly #open: readonly number[]
  readonly #taken: PlaceSet
  readonly #takenOpen: PlaceSet
  readonly #tried = new TriedPositions()
  readonly #choices: Choice<State>[] = []
  #state: State
  #key: string
  #steps = 0
  /** What to try next: this call of the list, and after the last of them this one of `open`. */
  #node: ListedCall | undefined
  #nextOpen = 0

  constructor(
    model: SequentialModel<State, Input, Output>,
    calls: readonly TimedCall<Input, Output>[],
    stepsMax: number,
  ) {
    this.#model = model
    this.#calls = calls
    this.#stepsMax = stepsMax
    this.#answered = new AnsweredList(calls)
    this.#open = [...calls.keys()]
      .filter((place) => calls[place]?.answer === undefined)
      .sort((left, right) => (calls[left]?.calledAt ?? 0) - (calls[right]?.calledAt ?? 0))
    this.#taken = new PlaceSet(calls.length)
    this.#takenOpen = new PlaceSet(this.#open.length)
    this.#state = model.initial
    this.#key = model.key(model.initial)
  }

  run(): SearchResult {
    let longest: number[] = []
    const places = (): number[] => this.#choices.map(({ place }) => place)
    const result = (verdict: LinearizabilityVerdict): SearchResult => ({
      verdict,
      steps: this.#steps,
      longest,
    })
    let isWorthTrying = this.#arrive()
    while (this.#answered.first !== undefined) {
      if (this.#steps > this.#stepsMax) return result('unknown')
      if (isWorthTrying && this.#takeNext()) {
        isWorthTrying = this.#arrive()
        continue
      }
      // Nothing may come before the first return: the last choice was wrong.
      if (this.#choices.length > longest.length) longest = places()
      if (!this.#goBack()) return result('not linearizable')
      isWorthTrying = true
    }
    longest = places()
    return result('linearizable')
  }

  /** Takes all reads that may come here. False when the position they lead to was tried before. */
  #arrive(): boolean {
    for (let node = this.#answered.first; node !== undefined; ) {
      const deadline = this.#answered.first?.returnedAt ?? 0
      if (node.calledFrom > deadline) break
      const isFitting = node.calledAt <= deadline && this.#isRead(node.place)
      const next = isFitting ? this.#step(node.place) : undefined
      if (next === undefined) {
        node = node.next
        continue
      }
      this.#take(node.place, node, 0, true, next)
      // Its return may have been what kept the others back.
      node = this.#answered.first
    }
    this.#node = this.#answered.first
    this.#nextOpen = 0
    return this.#tried.addUnlessCovered(`${this.#taken.text()}|${this.#key}`, this.#takenOpen)
  }

  /** Takes the next call that may come first here; false when there is none. */
  #takeNext(): boolean {
    const deadline = this.#answered.first?.returnedAt ?? 0
    for (let node = this.#node; node !== undefined && node.calledFrom <= deadline; node = node.next) {
      const isFitting = node.calledAt <= deadline && !this.#isRead(node.place)
      const next = isFitting ? this.#step(node.place) : undefined
      if (next === undefined) continue
      this.#take(node.place, node, 0, false, next)
      return true
    }
    for (let i = this.#nextOpen; i < this.#open.length; i++) {
      const place = present(this.#open[i], 'inside')
      if ((this.#calls[place]?.calledAt ?? 0) > deadline) break
      const next = this.#takenOpen.has(i) ? undefined : this.#step(place)
      // A call that nobody had an answer to and that changes nothing need not have happened.
      if (next === undefined || next.key === this.#key) continue
      this.#take(place, undefined, i, false, next)
      return true
    }
    return false
  }

  #isRead(place: number): boolean {
    const { input, answer } = present(this.#calls[place], 'choices are of calls')
    return answer !== undefined && this.#model.isRead(input, answer.output)
  }

  #step(place: number): { state: State; key: string } | undefined {
    this.#steps++
    const { input, answer } = present(this.#calls[place], 'choices are of calls')
    const state = this.#model.step(this.#state, input, answer?.output)
    return state === undefined ? undefined : { state, key: this.#model.key(state) }
  }

  #take(
    place: number,
    node: ListedCall | undefined,
    openPlace: number,
    isForced: boolean,
    next: { state: State; key: string },
  ): void {
    this.#choices.push({ place, node, openPlace, isForced, state: this.#state, key: this.#key })
    if (node === undefined) this.#takenOpen.toggle(openPlace)
    else {
      this.#taken.toggle(place)
      this.#answered.lift(node)
    }
    this.#state = next.state
    this.#key = next.key
  }

  /** Takes the last choice back, so that the one after it is tried; false when there is none. */
  #goBack(): boolean {
    for (let last = this.#choices.pop(); last !== undefined; last = this.#choices.pop()) {
      this.#state = last.state
      this.#key = last.key
      if (last.node === undefined) this.#takenOpen.toggle(last.openPlace)
      else {
        this.#taken.toggle(last.place)
        this.#answered.unlift(last.node)
      }
      this.#node = last.node?.next
      this.#nextOpen = last.node === undefined ? last.openPlace + 1 : 0
      if (!last.isForced) return true
    }
    return false
  }
}

/** Positions of the search: which answered calls are taken, the state, and which calls without an answer it needed. */
class TriedPositions {
  readonly #needed = new Map<string, PlaceSet[]>()

  /** False when the position was tried with no other calls without an answer: they could all still be taken there. */
  addUnlessCovered(position: string, needed: PlaceSet): boolean {
    const others = this.#needed.get(position)
    if (others === undefined) {
      this.#needed.set(position, [needed.copy()])
      return true
    }
    if (others.some((other) => needed.includes(other))) return false
    others.push(needed.copy())
    return true
  }
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

  constructor(size: number, words = new Uint16Array((size + 15) >> 4)) {
    this.#words = words
  }

  has(place: number): boolean {
    return (((this.#words[place >> 4] ?? 0) >> (place & 15)) & 1) === 1
  }

  toggle(place: number): void {
    const word = place >> 4
    this.#words[word] = (this.#words[word] ?? 0) ^ (1 << (place & 15))
  }

  includes(other: PlaceSet): boolean {
    return other.#words.every((word, i) => (word & ~(this.#words[i] ?? 0)) === 0)
  }

  copy(): PlaceSet {
    return new PlaceSet(0, this.#words.slice())
  }

  text(): string {
    return String.fromCharCode(...this.#words)
  }
}

interface ListedCall {
  readonly place: number
  readonly calledAt: number
  readonly returnedAt: number
  /** The earliest call of this one and all that return later: none of them may come before it. */
  readonly calledFrom: number
  previous: ListedCall | undefined
  next: ListedCall | undefined
}

/** Answered calls in the order of their returns. Lifted calls are put back in reverse order. */
class AnsweredList {
  first: ListedCall | undefined

  constructor(calls: readonly TimedCall<unknown, unknown>[]) {
    const timed = [...calls.entries()].flatMap(([place, { calledAt, answer }]) =>
      answer === undefined ? [] : [{ place, calledAt, returnedAt: answer.returnedAt }],
    )
    timed.sort((left, right) => right.returnedAt - left.returnedAt || right.calledAt - left.calledAt)
    let calledFrom = Number.POSITIVE_INFINITY
    for (const call of timed) {
      calledFrom = Math.min(calledFrom, call.calledAt)
      const node: ListedCall = { ...call, calledFrom, previous: undefined, next: this.first }
      if (this.first !== undefined) this.first.previous = node
      this.first = node
    }
  }

  lift(node: ListedCall): void {
    if (node.previous === undefined) this.first = node.next
    else node.previous.next = node.next
    if (node.next !== undefined) node.next.previous = node.previous
  }

  unlift(node: ListedCall): void {
    if (node.previous === undefined) this.first = node
    else node.previous.next = node
    if (node.next !== undefined) node.next.previous = node
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
    isRead: (input, output) => input.kind === 'read' || output === false,
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
