// What of an answer is compared: everything, except that ids and terms of one cluster cannot equal another's.
import type { Answer } from '../support/grpc-client.ts'
import type { Message, Value } from '../support/protobuf.ts'

/** Plain data that JSON can hold: bytes as text, ids as text. */
export type Canonical = string | number | boolean | Canonical[] | { [field: string]: Canonical }

const idsOfTheCluster = new Set(['cluster_id', 'member_id', 'raft_term'])

/** Remaining seconds differ by how fast the two were asked: up to this much they count as the granted ones. */
const leaseSecondsTolerance = 30

/**
 * Names for lease ids that a server chose, in the order of their grant: the same lease has the same name on both
 * sides. Ids that the client chose stay as they are.
 */
export class LeaseNames {
  readonly #names = new Map<bigint, string>()

  add(id: bigint, name: string): void {
    this.#names.set(id, name)
  }

  nameOf(id: bigint): string {
    return this.#names.get(id) ?? `${id}`
  }

  /** The id behind a name; 0 when there is none. */
  idOf(name: string): bigint {
    for (const [id, other] of this.#names) if (other === name) return id
    return 0n
  }
}

export function canonicalAnswer(answer: Answer, leases: LeaseNames): Canonical {
  if (answer.code !== 0) return { code: answer.code, text: answer.text }
  return canonicalMessage(withStableTtl(answer.message), leases)
}

export function canonicalMessage(message: Message, leases: LeaseNames): { [field: string]: Canonical } {
  const result: { [field: string]: Canonical } = {}
  for (const name of Object.keys(message).sort()) {
    const value = message[name]
    if (value === undefined || idsOfTheCluster.has(name)) continue
    result[name] = canonicalValue(name, value, leases)
  }
  // A set in the protocol: neither server promises an order.
  const unordered = result.grantedTTL !== undefined ? result.keys : result.leases
  if (Array.isArray(unordered)) unordered.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  return result
}

function canonicalValue(name: string, value: Value, leases: LeaseNames): Canonical {
  if (value instanceof Uint8Array) return printable(value)
  if (typeof value === 'bigint') return name === 'ID' || name === 'lease' ? leases.nameOf(value) : `${value}`
  if (Array.isArray(value)) return value.map((item) => canonicalValue(name, item, leases))
  if (typeof value === 'object') return canonicalMessage(value, leases)
  return value
}

function withStableTtl(message: Message): Message {
  const { TTL, grantedTTL } = message
  if (typeof TTL !== 'number' || typeof grantedTTL !== 'number') return message
  const near = TTL <= grantedTTL && TTL >= grantedTTL - leaseSecondsTolerance
  return near ? { ...message, TTL: grantedTTL } : message
}

/** Printable characters as they are, every other byte as \xNN, so that different bytes give different text. */
export function printable(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x5c
    text += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return text
}

/** Where two canonical values differ first, as `path: a | b`; undefined when they are equal. */
export function firstDifference(a: Canonical, b: Canonical, path = ''): string | undefined {
  if (typeof a !== 'object' || typeof b !== 'object' || Array.isArray(a) !== Array.isArray(b)) {
    return a === b ? undefined : `${path === '' ? '(answer)' : path}: ${short(a)} | ${short(b)}`
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    for (let i = 0; i < Math.max(a.length, b.length); i++) {
      const found = compareMembers(a[i], b[i], `${path}[${i}]`)
      if (found !== undefined) return found
    }
    return undefined
  }
  const left = a as { [field: string]: Canonical }
  const right = b as { [field: string]: Canonical }
  for (const name of new Set([...Object.keys(left), ...Object.keys(right)])) {
    const found = compareMembers(left[name], right[name], path === '' ? name : `${path}.${name}`)
    if (found !== undefined) return found
  }
  return undefined
}

function compareMembers(
  a: Canonical | undefined,
  b: Canonical | undefined,
  path: string,
): string | undefined {
  if (a === undefined || b === undefined) return a === b ? undefined : `${path}: ${short(a)} | ${short(b)}`
  return firstDifference(a, b, path)
}

export function short(value: Canonical | undefined, lengthMax = 400): string {
  const text = value === undefined ? '(absent)' : JSON.stringify(value)
  return text.length <= lengthMax ? text : `${text.slice(0, lengthMax)}... (${text.length} characters)`
}
