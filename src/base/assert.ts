/** Thrown when the program itself is wrong. It is never caught to go on: the node stops. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/**
 * Stops the program with `text` when `condition` is false. Always on, also in production. A text that is put together costs
 * more than the question: where it is asked often, `text` is a function.
 */
export function assert(condition: boolean, text: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionError(typeof text === 'string' ? text : text())
}

/** The value itself, once it is certain that it is there. */
export function present<T>(value: T | undefined | null, text: string): T {
  if (value === undefined || value === null) throw new AssertionError(text)
  return value
}

/** For the default branch of a switch over a closed union: does not compile when a case is missing. */
export function unreachable(value: never, text: string): never {
  throw new AssertionError(`${text}: ${String(value)}`)
}
