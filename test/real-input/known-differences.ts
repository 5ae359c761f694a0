// Differences between Debian's etcd 3.4 and Quorate that are intended, each with its reason. Anything else fails the
// run. An entry is as narrow as the request that shows it: a wide one would hide a fault.
import type { MethodName } from '../support/etcd-messages.ts'
import { numberOf } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'
import { type Canonical, firstDifference } from './normalise.ts'

export type Difference = {
  /** The method, or what about a watch was compared. */
  subject: MethodName | 'watch events' | 'watch control' | 'watch atomicity' | 'watch deadline'
  request: Message
  a: Canonical
  b: Canonical
}

export type KnownDifference = { id: string; reason: string; covers(difference: Difference): boolean }

export const knownDifferences: readonly KnownDifference[] = [
  {
    id: 'sort-option-invalid',
    reason: 'etcd 3.6, which Quorate claims, refuses an unknown sort order or target; 3.4 ignored it.',
    covers: ({ subject, request, b }) =>
      subject === 'range' && hasUnknownSort(request) && isRefusal(b, 3, 'etcdserver: invalid sort option'),
  },
  {
    id: 'sort-ties',
    reason:
      'Keys that sort equal: etcd has the order of an unstable sort, which changes with the Go release, Quorate key order.',
    covers: ({ subject, request, a, b }) =>
      subject === 'range' && numberOf(request.sort_target) > 0 && differInTies(request, a, b),
  },
  {
    id: 'previous-of-first-event',
    reason:
      'A watch from the compacted revision: etcd no longer has the previous value of its first events, Quorate has.',
    covers: ({ subject, request, a, b }) =>
      subject === 'watch events' && differInFirstPrevious(numberOf(request.start_revision), a, b),
  },
]

/** Whether all that side a lacks is the previous pair of events of the revision where the watch starts. */
export function differInFirstPrevious(start: number, a: Canonical, b: Canonical): boolean {
  if (start === 0 || !Array.isArray(a) || !Array.isArray(b)) return false
  const isFirst = ({ kv }: { [field: string]: Canonical }): boolean =>
    isFields(kv) && kv.mod_revision === start
  const asSideA = b.map((event, i) => {
    const other = a[i]
    if (!isFields(event) || !isFields(other) || !isFirst(event) || other.prev_kv !== undefined) return event
    const { prev_kv: _, ...rest } = event
    return rest
  })
  return firstDifference(a, asSideA) === undefined
}

const sortFields = ['key', 'version', 'create_revision', 'mod_revision', 'value']
/** Go sorts this many by insertion, and so keeps equal ones in their order. */
const stableCountMax = 12

/** Whether two sorted answers differ only in the order of keys that sort equal, or in which of the last such are cut. */
export function differInTies(request: Message, a: Canonical, b: Canonical): boolean {
  if (!isFields(a) || !isFields(b) || !Array.isArray(a.kvs) || !Array.isArray(b.kvs)) return false
  if (typeof a.count !== 'number' || a.count <= stableCountMax) return false
  const field = sortFields[numberOf(request.sort_target)] ?? ''
  const sortValue = (pair: Canonical | undefined): Canonical =>
    (isFields(pair) ? pair[field] : undefined) ?? ''
  const valuesOf = (kvs: Canonical[]): Canonical[] => kvs.map(sortValue)
  const last = sortValue(a.kvs.at(-1))
  const certain = (kvs: Canonical[]): string[] =>
    kvs
      .filter((pair) => a.more !== true || sortValue(pair) !== last)
      .map((pair) => JSON.stringify(pair))
      .sort()
  return (
    firstDifference({ ...a, kvs: valuesOf(a.kvs) }, { ...b, kvs: valuesOf(b.kvs) }) === undefined &&
    firstDifference(certain(a.kvs), certain(b.kvs)) === undefined
  )
}

function isFields(value: Canonical | undefined): value is { [field: string]: Canonical } {
  return typeof value === 'object' && !Array.isArray(value)
}

export function findKnown(difference: Difference): KnownDifference | undefined {
  return knownDifferences.find((known) => known.covers(difference))
}

function hasUnknownSort(request: Message): boolean {
  return numberOf(request.sort_order) > 2 || numberOf(request.sort_target) > 4
}

function isRefusal(answer: Canonical, code: number, text: string): boolean {
  return isFields(answer) && answer.code === code && answer.text === text
}
