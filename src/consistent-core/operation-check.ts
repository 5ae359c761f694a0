import { compareBytes, latin1FromBytes, QuorateError } from '../base/index.ts'
import { transactionDepthMax } from './command-codec.ts'
import type { KeyInterval, Operation, Refusal, TransactionOperation } from './contract.ts'

export interface OperationLimits {
  /** Of compares, success and failure of one transaction, the largest count; nested ones share what is left. */
  readonly transactionOperationsMax: number
}

export const defaultOperationLimits: OperationLimits = { transactionOperationsMax: 128 }
/** For the check at apply: how many operations a transaction may have is the door's matter and may differ by node. */
export const noOperationLimits: OperationLimits = { transactionOperationsMax: Number.MAX_SAFE_INTEGER }

/** What a reader is told while a snapshot takes the place of the state. */
export function replaced(): QuorateError {
  return new QuorateError(
    'leader-changed',
    'a snapshot takes the place of the state: nothing can be read from it',
  )
}

export function refuse(code: Refusal['code'], detail: string): Refusal {
  return { kind: 'refused', code, detail }
}

/** What can be said about an operation without knowing the state; undefined when it is in order. */
export function checkOperation(operation: Operation, limits: OperationLimits): Refusal | undefined {
  if (operation.kind !== 'transaction') return checkSimple(operation)
  return (
    checkTransaction(operation, limits.transactionOperationsMax, 1) ??
    checkDuplicates(operation.success) ??
    checkDuplicates(operation.failure)
  )
}

function checkSimple(operation: Exclude<Operation, TransactionOperation>): Refusal | undefined {
  if (operation.key.length === 0) return refuse('key-empty', `a ${operation.kind} has an empty key`)
  if (operation.kind !== 'put') return undefined
  if (operation.ignoreValue && operation.value.length > 0) {
    return refuse('value-provided', 'a put that keeps the value brings one')
  }
  if (operation.ignoreLease && operation.lease !== 0n) {
    return refuse('lease-provided', 'a put that keeps the lease brings one')
  }
  return undefined
}

function checkTransaction(
  transaction: TransactionOperation,
  operationsMax: number,
  depth: number,
): Refusal | undefined {
  const { compare, success, failure } = transaction
  const count = Math.max(compare.length, success.length, failure.length)
  if (count > operationsMax) {
    return refuse(
      'too-many-operations',
      `a transaction has ${count} operations, allowed are ${operationsMax}`,
    )
  }
  if (depth > transactionDepthMax) {
    return refuse('too-many-operations', `a transaction is nested deeper than ${transactionDepthMax}`)
  }
  for (const one of compare) {
    if (one.key.length === 0) return refuse('key-empty', 'a compare has an empty key')
  }
  for (const operations of [success, failure]) {
    for (const operation of operations) {
      const refusal =
        operation.kind === 'transaction'
          ? checkTransaction(operation, operationsMax - count, depth + 1)
          : checkSimple(operation)
      if (refusal !== undefined) return refusal
    }
  }
  return undefined
}

// ---- a key must not be put twice, nor put and deleted -----------------------------------------------------------

/** What a branch may change: keys put, and intervals deleted. */
interface Footprint {
  readonly puts: Set<string>
  readonly deletes: IntervalSet
}

function checkDuplicates(operations: readonly Operation[]): Refusal | undefined {
  const footprint = footprintOf(operations)
  return footprint === undefined
    ? refuse('duplicate-key', 'a transaction changes one key more than once')
    : undefined
}

/**
 * Undefined: a key is changed twice. The order of looking is etcd's, and with it two gaps: a put in a nested
 * transaction and a delete in a later nested one of the same key pass, and so does a put beside a delete without an
 * end. They are applied in their order.
 */
function footprintOf(operations: readonly Operation[]): Footprint | undefined {
  const puts = new Set<string>()
  const deletes = new IntervalSet()
  for (const operation of operations) if (operation.kind === 'deleteRange') deletes.add(operation)
  for (const operation of operations) {
    if (operation.kind !== 'transaction') continue
    const success = footprintOf(operation.success)
    const failure = footprintOf(operation.failure)
    if (success === undefined || failure === undefined) return undefined
    for (const key of success.puts) if (puts.has(key) || deletes.covers(key)) return undefined
    for (const key of failure.puts) {
      // Only one of the two branches runs, so both may put the same key.
      if ((puts.has(key) && !success.puts.has(key)) || deletes.covers(key)) return undefined
    }
    for (const key of success.puts) puts.add(key)
    for (const key of failure.puts) puts.add(key)
    deletes.addAll(success.deletes)
    deletes.addAll(failure.deletes)
  }
  for (const operation of operations) {
    if (operation.kind !== 'put') continue
    const key = latin1FromBytes(operation.key)
    if (puts.has(key) || deletes.covers(key)) return undefined
    puts.add(key)
  }
  return { puts, deletes }
}

/** Half-open intervals of keys as strings. */
interface TextInterval {
  readonly first: string
  readonly end: string
}

class IntervalSet {
  #intervals: TextInterval[] = []
  /** Sorted by `first`, joined where they touch; made when it is asked for. */
  #merged: TextInterval[] | undefined

  add(interval: KeyInterval): void {
    const { key, rangeEnd } = interval
    const first = latin1FromBytes(key)
    if (rangeEnd.length === 0) this.#push({ first, end: `${first}\0` })
    // Not for the end that means "no end": no key is before it, so etcd sees an empty interval.
    else if (compareBytes(key, rangeEnd) < 0) this.#push({ first, end: latin1FromBytes(rangeEnd) })
  }

  addAll(other: IntervalSet): void {
    for (const interval of other.#intervals) this.#push(interval)
  }

  covers(key: string): boolean {
    if (this.#intervals.length === 0) return false
    this.#merged ??= mergeIntervals(this.#intervals)
    const merged = this.#merged
    let low = 0
    let high = merged.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((merged[middle] as TextInterval).first <= key) low = middle + 1
      else high = middle
    }
    const last = merged[low - 1]
    return last !== undefined && key < last.end
  }

  #push(interval: TextInterval): void {
    this.#intervals.push(interval)
    this.#merged = undefined
  }
}

function mergeIntervals(intervals: readonly TextInterval[]): TextInterval[] {
  const sorted = [...intervals].sort((left, right) => (left.first < right.first ? -1 : 1))
  const merged: TextInterval[] = []
  for (const next of sorted) {
    const last = merged[merged.length - 1]
    if (last === undefined || last.end < next.first) merged.push(next)
    else if (next.end > last.end) merged[merged.length - 1] = { first: last.first, end: next.end }
  }
  return merged
}
