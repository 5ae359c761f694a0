import { assert, concatBytes, copyBytes } from '../base/index.ts'

/**
 * The ordered form of a client key: every zero byte is followed by 0xff, and two zero bytes end it. No form is a
 * prefix of another, and forms sort as the keys do, also with something appended ("a" before "a\0" before "ab").
 */
export function orderedForm(key: Uint8Array): Uint8Array {
  const firstZero = key.indexOf(0)
  if (firstZero < 0) {
    const form = new Uint8Array(key.length + 2)
    form.set(key)
    return form
  }
  let zeros = 0
  for (let i = firstZero; i < key.length; i++) if (key[i] === 0) zeros++
  const form = new Uint8Array(key.length + zeros + 2)
  let at = 0
  for (const byte of key) {
    form[at++] = byte
    if (byte === 0) form[at++] = 0xff
  }
  return form
}

/** The client key of a form; often a view on it. */
export function keyOfForm(form: Uint8Array): Uint8Array {
  const end = form.length - 2
  assert(end > 0 && form[end] === 0 && form[end + 1] === 0, 'a form ends with two zero bytes')
  if (form.indexOf(0) === end) return form.subarray(0, end)
  const key = new Uint8Array(end)
  let size = 0
  for (let at = 0; at < end; at++) {
    const byte = form[at] as number
    key[size++] = byte
    if (byte === 0) at++
  }
  return key.subarray(0, size)
}

/** The lowest bound above a form: no key lies between the two. */
export function afterForm(form: Uint8Array): Uint8Array {
  const next = copyBytes(form)
  next[next.length - 1] = 1
  return next
}

/** Half-open bounds in forms; `end` undefined is open. */
export interface FormBounds {
  readonly first: Uint8Array
  readonly end: Uint8Array | undefined
}

/** Bounds of [key, rangeEnd) in etcd's notation; undefined when it is a single key. */
export function formBounds(key: Uint8Array, rangeEnd: Uint8Array): FormBounds | undefined {
  if (rangeEnd.length === 0) return undefined
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0
  return { first: orderedForm(key), end: isOpen ? undefined : orderedForm(rangeEnd) }
}

export function joinForm(left: Uint8Array, right: Uint8Array): Uint8Array {
  return left.length === 0 ? right : concatBytes([left, right])
}
