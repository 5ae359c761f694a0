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

/** How many returns passed are worth one call fewer that was taken beyond them. */
const beyondWeight = 2

interface Position<State> {
  /** Answered calls, by their places in the order of returns. */
  readonly taken: PlaceSet
  /** The first place of that order that is not taken: every later call must begin before it returned. */
  first: number
  /** Calls without an answer, by their places in their own order. */
  readonly takenOpen: PlaceSet
  readonly state: State
  readonly key: string
  /** How many calls were taken, and which of them here. */
  size: number
  readonly here: number[]
  readonly before: Position<State> | undefined
}

/**
 * Best first: the position that has passed the most returns with the fewest calls beyond them. So calls are put off
 * until a return needs them, and a wrong choice early on is taken back before all that could follow it was tried.
 */
class Search<State, Input, Output> {
  readonly #model: SequentialModel<State, Input, Output>
  readonly #calls: readonly TimedCall<Input, Output>[]
  readonly #stepsMax: number
  /** Places of the answered calls as they returned, and for each the earliest call from there on. */
  readonly #answered: readonly number[]
  readonly #calledFrom: readonly number[]
  /** Places of the calls without an answer, as they were called. */
  readonly #open: readonly number[]
  readonly #tried = new TriedPositions()
  /** By rank. */
  readonly #waiting: Position<State>[][] = []
  #bestRank = -1
  #steps = 0
  #longest: Position<State> | undefined

  constructor(
    model: SequentialModel<State, Input, Output>,
    calls: readonly TimedCall<Input, Output>[],
    stepsMax: number,
  ) {
    this.#model = model
    this.#calls = calls
    this.#stepsMax = stepsMax
    const places = [...calls.keys()]
    const byCall = (left: number, right: number): number => this.#calledAt(left) - this.#calledAt(right)
    this.#answered = places
      .filter((place) => calls[place]?.answer !== undefined)
      .sort((left, right) => this.#returnedAt(left) - this.#returnedAt(right) || byCall(left, right))
    this.#open = places.filter((place) => calls[place]?.answer === undefined).sort(byCall)
    let calledFrom = Number.POSITIVE_INFINITY
    this.#calledFrom = this.#answered
      .toReversed()
      .map((place) => {
        calledFrom = Math.min(calledFrom, this.#calledAt(place))
        return calledFrom
      })
      .reverse()
  }

  run(): SearchResult {
    const { initial } = this.#model
    let verdict: LinearizabilityVerdict = 'not linearizable'
    let position: Position<State> | undefined = {
      taken: new PlaceSet(this.#answered.length),
      first: 0,
      takenOpen: new PlaceSet(this.#open.length),
      state: initial,
      key: this.#model.key(initial),
      size: 0,
      here: [],
      before: undefined,
    }
    this.#arrive(position)
    for (position = this.#next(); position !== undefined; position = this.#next()) {
      if (position.first === this.#answered.length) {
        verdict = 'linearizable'
        break
      }
      if (this.#steps > this.#stepsMax) {
        verdict = 'unknown'
        break
      }
      this.#goOn(position)
    }
    const longest: number[] = []
    for (let at = position ?? this.#longest; at !== undefined; at = at.before) longest.unshift(...at.here)
    return { verdict, steps: this.#steps, longest }
  }

  #calledAt(place: number): number {
    return this.#calls[place]?.calledAt ?? 0
  }

  #returnedAt(place: number): number {
    return this.#calls[place]?.answer?.returnedAt ?? Number.POSITIVE_INFINITY
  }

  /** Tries each call that may come next. */
  #goOn(position: Position<State>): void {
    for (const i of this.#candidates(position)) {
      const place = present(this.#answered[i], 'inside')
      const next = this.#isRead(place) ? undefined : this.#step(position, place)
      if (next !== undefined) this.#arrive({ ...next, taken: position.taken.with(i) })
    }
    const deadline = this.#deadline(position)
    for (const [i, place] of this.#open.entries()) {
      if (this.#calledAt(place) > deadline) break
      const next = position.takenOpen.has(i) ? undefined : this.#step(position, place)
      // A call that nobody had an answer to and that changes nothing need not have happened.
      if (next === undefined || next.key === position.key) continue
      this.#arrive({ ...next, taken: position.taken.copy(), takenOpen: position.takenOpen.with(i) })
    }
  }

  #deadline({ first }: Position<State>): number {
    return this.#returnedAt(this.#answered[first] ?? -1)
  }

  /** Places in the order of returns of what may come first. */
  *#candidates(position: Position<State>): Generator<number> {
    const deadline = this.#deadline(position)
    for (let i = position.first; i < this.#answered.length; i++) {
      if (present(this.#calledFrom[i], 'one each') > deadline) return
      const place = present(this.#answered[i], 'inside')
      if (!position.taken.has(i) && this.#calledAt(place) <= deadline) yield i
    }
  }

  /** Takes all reads that fit: every order that goes on from here may as well begin with them. Then it waits its turn. */
  #arrive(position: Position<State>): void {
    const { taken } = position
    for (let isChanged = true; isChanged; ) {
      while (taken.has(position.first)) position.first++
      isChanged = false
      for (const i of this.#candidates(position)) {
        const place = present(this.#answered[i], 'inside')
        if (!this.#isRead(place) || this.#step(position, place) === undefined) continue
        taken.add(i)
        position.here.push(place)
        position.size++
        // A return that is passed may let others begin.
        isChanged ||= i === position.first
      }
    }
    if (!this.#tried.addUnlessCovered(`${taken.text()}|${position.key}`, position.takenOpen)) return
    if (position.size >= (this.#longest?.size ?? 0)) this.#longest = position
    const beyond = position.size - position.first
    const rank = Math.max(0, position.first + beyondWeight * (this.#calls.length - beyond))
    const list = this.#waiting[rank] ?? []
    this.#waiting[rank] = list
    list.push(position)
    this.#bestRank = Math.max(this.#bestRank, rank)
  }

  #next(): Position<State> | undefined {
    for (; this.#bestRank >= 0; this.#bestRank--) {
      const position = this.#waiting[this.#bestRank]?.pop()
      if (position !== undefined) return position
    }
    return undefined
  }

  #isRead(place: number): boolean {
    const { input, answer } = present(this.#calls[place], 'choices are of calls')
    return answer !== undefined && this.#model.isRead(input, answer.output)
  }

  #step(before: Position<State>, place: number): Position<State> | undefined {
    this.#steps++
    const { input, answer } = present(this.#calls[place], 'choices are of calls')
    const state = this.#model.step(before.state, input, answer?.output)
    if (state === undefined) return undefined
    return { ...before, state, key: this.#model.key(state), size: before.size + 1, here: [place], before }
  }
}

/** Positions of the search: which answered calls are taken, the state, and which calls without an answer it needed. */
class TriedPositions {
  readonly #needed = new Map<string, PlaceSet[]>()

  /** False when the position was tried with no other calls without an answer: they could all still be taken there. */
  addUnlessCovered(position: string, needed: PlaceSet): boolean {
    const others = this.#needed.get(position)
    if (others === undefined) this.#needed.set(position, [needed])
    else if (others.some((other) => needed.includes(other))) return false
    else others.push(needed)
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

  add(place: number): void {
    const word = place >> 4
    this.#words[word] = (this.#words[word] ?? 0) | (1 << (place & 15))
  }

  copy(): PlaceSet {
    return new PlaceSet(0, this.#words.slice())
  }

  with(place: number): PlaceSet {
    const copy = this.copy()
    copy.add(place)
    return copy
  }

  includes(other: PlaceSet): boolean {
    return other.#words.every((word, i) => (word & ~(this.#words[i] ?? 0)) === 0)
  }

  text(): string {
    return String.fromCharCode(...this.#words)
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
