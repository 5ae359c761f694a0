/**
 * A node's state as plain data: copied, named by a text that is equal for equal states, and renamed for symmetry. It
 * works on any object, so that a field that is added to the raft room cannot be forgotten; for that its private fields
 * must be open (open-fields.ts).
 */
import { assert, type NodeId } from '../../src/base/index.ts'

/** Names of node ids under one permutation: what each id becomes. */
export type Renaming = (id: NodeId) => NodeId

type Fields = Record<string, unknown>

/** Not part of what a node is: constants, and what stands for time and chance, which the explorer decides. */
const ignoredFields: ReadonlySet<string> = new Set([
  'options',
  'random',
  'electionTimeout',
  'configurationReported',
  '_inflightMax',
  'raft',
  'context',
])

/** Entries, ends of logs, messages, operations and configurations are never changed, so copies may share them. */
function isShared(value: object): boolean {
  return value instanceof Uint8Array || 'chain' in value || 'kind' in value || 'voters' in value
}

/** A copy that shares only what never changes. */
export function copyState<T>(value: T): T {
  return copy(value) as T
}

function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.length === 0 ? [] : value.map(copy)
  if (value instanceof Map) return new Map(Array.from(value, ([key, item]) => [key, copy(item)]))
  if (isShared(value)) return value
  const target = Object.create(Object.getPrototypeOf(value)) as Fields
  const source = value as Fields
  for (const key in source) {
    target[key] = key === 'options' || key === 'random' ? source[key] : copy(source[key])
  }
  return target
}

/**
 * Text of a value: equal exactly for equal states. Sets of ids and maps by id have one order, whatever the renaming.
 * Numbers of storage operations count from `sequence` on backwards: nothing depends on where they began.
 */
export function textOf(value: unknown, rename: Renaming, sequence: number): string {
  switch (typeof value) {
    case 'number':
      return value.toString(36)
    case 'bigint':
      return `#${rename(value)}`
    case 'boolean':
      return value ? 'y' : 'n'
    case 'string':
      return value
    case 'undefined':
      return '-'
    default:
      return objectText(value, rename, sequence)
  }
}

function objectText(value: unknown, rename: Renaming, sequence: number): string {
  if (Array.isArray(value)) return arrayText(value, rename, sequence)
  if (value instanceof Uint8Array) return value.join(' ')
  if (value instanceof Map) {
    const items = Array.from(
      value,
      ([key, item]) => `${textOf(key, rename, sequence)}:${textOf(item, rename, sequence)}`,
    )
    return `{${items.sort().join(',')}}`
  }
  assert(typeof value === 'object' && value !== null, 'a state is plain data')
  const fields = value as Fields
  let text = '('
  for (const key in fields) {
    if (ignoredFields.has(key)) continue
    const item = fields[key]
    if (key === 'sequence' || key === '_sequence') text += `${sequence - (item as number)} `
    else if (key === '_restoring') text += item === 0 ? '- ' : `${sequence - (item as number)} `
    else text += `${textOf(item, rename, sequence)} `
  }
  return `${text})`
}

function arrayText(value: readonly unknown[], rename: Renaming, sequence: number): string {
  const [first] = value
  const items: string[] = []
  for (let i = 0; i < value.length; i++) {
    const item = value[i]
    if (item !== undefined) items.push(textOf(item, rename, sequence))
  }
  // Ids are a set; of messages that leave together none is first.
  const isSet = typeof first === 'bigint' || isMessage(first)
  return `[${(isSet ? items.sort() : items).join(',')}]`
}

function isMessage(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'from' in value && 'to' in value
}

/** Two 32-bit halves of a hash of `text`. */
export function hashText(text: string): [number, number] {
  let high = 0x9e3779b9
  let low = 0x85ebca6b
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    high = Math.imul(high ^ code, 0x9e3779b1)
    low = Math.imul(low ^ code, 0x5f356495)
    high = (high << 13) | (high >>> 19)
    low = (low << 15) | (low >>> 17)
  }
  return [mix(high ^ (low >>> 7)), mix(Math.imul(low, 0x27d4eb2f) ^ high)]
}

function mix(value: number): number {
  let z = value
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
  return (z ^ (z >>> 16)) >>> 0
}
