import { assert, compareBytes, present, unreachable } from '../base/index.ts'
import type { LeaseTable } from '../lease/index.ts'
import type {
  Compare,
  DeleteRangeOperation,
  DeleteRangeResult,
  KeyInterval,
  KeyValue,
  Operation,
  OperationResult,
  PutOperation,
  PutResult,
  Refusal,
  TransactionOperation,
  TransactionResult,
} from './contract.ts'
import { keyOfForm } from './key-form.ts'
import type { KeySpace } from './key-space.ts'
import { refuse } from './operation-check.ts'
import { checkRevision, rangeOf } from './range.ts'
import { rowLease } from './rows.ts'
import { fetchWork, noMore, runThrough, type View, visitInterval } from './view.ts'

/** Which branch each transaction takes: the outer one first, then the nested ones of its branch in their order. */
export type Path = boolean[]

// ---- compares: all of them before anything is written -------------------------------------------------------------

/** Decides the branches of a transaction and of those nested in it, all on the state of the view. */
export function* choosePath(view: View, transaction: TransactionOperation): Generator<void, Path, void> {
  let succeeded = true
  for (const compare of transaction.compare) {
    if (!(yield* holds(view, compare))) {
      succeeded = false
      break
    }
  }
  const path = [succeeded]
  for (const operation of branchOf(transaction, succeeded)) {
    if (operation.kind === 'transaction') path.push(...(yield* choosePath(view, operation)))
  }
  return path
}

function branchOf(transaction: TransactionOperation, succeeded: boolean): readonly Operation[] {
  return succeeded ? transaction.success : transaction.failure
}

/** A range holds when all its keys do; an empty one is like one key that is missing. */
function* holds(view: View, compare: Compare): Generator<void, boolean, void> {
  if (compare.rangeEnd.length === 0) return pairHolds(compare, view.keys.pairAt(compare.key, view.revision))
  let isEmpty = true
  let all = true
  yield* visitInterval(view, compare, (_form, modRevision, sub) => {
    isEmpty = false
    all = pairHolds(compare, view.keys.pair(modRevision, sub))
    return all ? fetchWork : noMore
  })
  return isEmpty ? pairHolds(compare, undefined) : all
}

/** A missing key has zeros everywhere, but no value: a compare of its value is never true. */
function pairHolds(compare: Compare, pair: KeyValue | undefined): boolean {
  if (pair === undefined && compare.target === 'value') return false
  const order = orderOf(compare, pair)
  switch (compare.result) {
    case 'equal':
      return order === 0
    case 'notEqual':
      return order !== 0
    case 'greater':
      return order > 0
    case 'less':
      return order < 0
    default:
      return unreachable(compare.result, 'a compare has a result')
  }
}

function orderOf(compare: Compare, pair: KeyValue | undefined): number {
  switch (compare.target) {
    case 'version':
      return (pair?.version ?? 0) - compare.number
    case 'create':
      return (pair?.createRevision ?? 0) - compare.number
    case 'mod':
      return (pair?.modRevision ?? 0) - compare.number
    case 'value':
      return pair === undefined ? 0 : compareBytes(pair.value, compare.value)
    case 'lease': {
      const left = BigInt.asIntN(64, pair?.lease ?? 0n)
      const right = BigInt.asIntN(64, compare.lease)
      return left < right ? -1 : left > right ? 1 : 0
    }
    default:
      return unreachable(compare.target, 'a compare has a target')
  }
}

// ---- validation: nothing is written unless all of it will be ------------------------------------------------------

/** A plain put is asked for its lease first and one in a transaction for its key, as in etcd. */
export function validatePut(
  keys: KeySpace,
  leases: LeaseTable,
  operation: PutOperation,
): Refusal | undefined {
  return checkLease(leases, operation) ?? checkKept(keys, operation, [])
}

function checkLease(leases: LeaseTable, operation: PutOperation): Refusal | undefined {
  if (operation.lease === 0n || leases.has(operation.lease)) return undefined
  return refuse('lease-not-found', 'a put names a lease that does not exist')
}

/** `deletes`: what the same transaction deletes before the put. */
function checkKept(
  keys: KeySpace,
  operation: PutOperation,
  deletes: readonly KeyInterval[],
): Refusal | undefined {
  const { key, ignoreValue, ignoreLease } = operation
  if (!ignoreValue && !ignoreLease) return undefined
  if (keys.liveRow(key) !== undefined && !deletes.some((one) => covers(one, key))) return undefined
  return refuse('key-not-found', 'a put keeps value or lease of a key that does not exist')
}

function covers({ key: first, rangeEnd }: KeyInterval, key: Uint8Array): boolean {
  if (rangeEnd.length === 0) return compareBytes(first, key) === 0
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0
  return compareBytes(first, key) <= 0 && (isOpen || compareBytes(key, rangeEnd) < 0)
}

/**
 * Of the branches chosen only; `leases` undefined: reads only. As in etcd, all puts are looked at before any range:
 * a transaction with two faults has one answer. A key that the transaction deletes has nothing left to keep for a later
 * put: with etcd that ends the process, each time the command is applied.
 */
export function validatePath(
  keys: KeySpace,
  leases: LeaseTable | undefined,
  transaction: TransactionOperation,
  path: Path,
): Refusal | undefined {
  const deletes: KeyInterval[] = []
  const checkWrite = (operation: Operation): Refusal | undefined => {
    if (operation.kind === 'range') return undefined
    if (leases === undefined) return writesInRead
    if (operation.kind === 'deleteRange') deletes.push(operation)
    if (operation.kind !== 'put') return undefined
    return checkKept(keys, operation, deletes) ?? checkLease(leases, operation)
  }
  const checkRead = (operation: Operation): Refusal | undefined =>
    operation.kind === 'range' ? checkRevision(keys, operation.revision) : undefined
  return (
    validateBranch(transaction, path.values(), checkWrite) ??
    validateBranch(transaction, path.values(), checkRead)
  )
}

/** The first refusal of an operation on the path, which is consumed in its order. */
function validateBranch(
  transaction: TransactionOperation,
  path: Iterator<boolean>,
  check: (operation: Operation) => Refusal | undefined,
): Refusal | undefined {
  for (const operation of branchOf(transaction, nextOf(path))) {
    const refusal =
      check(operation) ??
      (operation.kind === 'transaction' ? validateBranch(operation, path, check) : undefined)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

const writesInRead: Refusal = refuse('invalid-argument', 'a transaction that writes goes through the log')

function nextOf(path: Iterator<boolean>): boolean {
  return present(path.next().value as boolean | undefined, 'the path names a branch for each transaction')
}

// ---- doing it -----------------------------------------------------------------------------------------------------

export function executePut(keys: KeySpace, operation: PutOperation): PutResult {
  const { key, previous, ignoreValue, ignoreLease } = operation
  let { value, lease } = operation
  let old: KeyValue | undefined
  if (previous || ignoreValue) {
    old = keys.pairAt(key, keys.newest)
    if (ignoreValue) value = present(old, 'the key exists: it was checked').value
  }
  if (ignoreLease) lease = rowLease(present(keys.liveRow(key), 'the key exists: it was checked'))
  keys.put(key, value, lease)
  return { kind: 'put', previous: previous ? old : undefined, revision: keys.newest }
}

export function executeDelete(keys: KeySpace, operation: DeleteRangeOperation): DeleteRangeResult {
  const doomed = liveKeys(keys, operation)
  const previous: KeyValue[] = []
  for (const key of doomed) {
    if (operation.previous) {
      previous.push(present(keys.pairAt(key, keys.newest), 'a key that is deleted was there'))
    }
    keys.delete(key)
  }
  return { kind: 'deleteRange', deleted: doomed.length, previous, revision: keys.newest }
}

function liveKeys(keys: KeySpace, interval: KeyInterval): Uint8Array[] {
  if (interval.rangeEnd.length === 0) {
    return keys.liveRow(interval.key) === undefined ? [] : [interval.key]
  }
  const found: Uint8Array[] = []
  const all = visitInterval(currentView(keys), interval, (form) => {
    found.push(keyOfForm(form))
    return 1
  })
  runThrough(all)
  return found
}

/** The state inside a command: whatever its earlier operations wrote is seen. */
export function currentView(keys: KeySpace): View {
  return { keys, revision: keys.newest, resumed: () => undefined }
}

/** Performs the chosen branches; every check was made before. */
export function executeTransaction(
  keys: KeySpace,
  transaction: TransactionOperation,
  path: Path,
): TransactionResult {
  return executeBranch(keys, transaction, path.values())
}

function executeBranch(
  keys: KeySpace,
  transaction: TransactionOperation,
  path: Iterator<boolean>,
): TransactionResult {
  const succeeded = nextOf(path)
  const results: OperationResult[] = []
  for (const operation of branchOf(transaction, succeeded)) {
    results.push(executeOperation(keys, operation, path))
  }
  return { kind: 'transaction', succeeded, results, revision: keys.newest }
}

function executeOperation(keys: KeySpace, operation: Operation, path: Iterator<boolean>): OperationResult {
  switch (operation.kind) {
    case 'range': {
      const revision = operation.revision > 0 ? operation.revision : keys.newest
      const view = { keys, revision, resumed: () => undefined }
      return { ...runThrough(rangeOf(view, operation)), revision: keys.newest }
    }
    case 'put':
      return executePut(keys, operation)
    case 'deleteRange':
      return executeDelete(keys, operation)
    case 'transaction':
      return executeBranch(keys, operation, path)
    default:
      return unreachable(operation, 'an operation has a kind')
  }
}

/** Performs a transaction of ranges on a view; its path was validated as one that only reads. */
export function* readBranch(
  view: View,
  transaction: TransactionOperation,
  path: Path,
): Generator<void, TransactionResult, void> {
  const succeeded = path[0] === true
  const results: OperationResult[] = []
  for (const operation of branchOf(transaction, succeeded)) {
    assert(operation.kind === 'range', 'a transaction that only reads holds ranges')
    const revision = operation.revision > 0 ? operation.revision : view.revision
    results.push({ ...(yield* rangeOf({ ...view, revision }, operation)), revision: view.revision })
  }
  return { kind: 'transaction', succeeded, results, revision: view.revision }
}
