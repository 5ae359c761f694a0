import { setTimeout as pause } from 'node:timers/promises'

/** How whoever runs a load and the load itself tell each other where it is. */
export interface LoadControl {
  /** From now on it counts. */
  begun(): void
  /** Resolves when the load shall end before its time, or, where it has none, end. */
  readonly stop: Promise<void>
}

export const noControl: LoadControl = { begun: () => undefined, stop: new Promise(() => undefined) }

/** The time that counts. What is stopped before its time does not stay alive for it. */
export async function countedTime(ms: number): Promise<void> {
  await pause(ms, undefined, { ref: false })
}

/** Does `work` on 0 to count - 1, so many of them at a time. */
export async function forEachIndex(
  count: number,
  atATime: number,
  work: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: Math.min(count, atATime) }, worker))
}

/** As the promise; rejects when it is not settled after `ms`. `problem` is asked for then. */
export async function withDeadline<T>(promise: Promise<T>, ms: number, problem: () => string): Promise<T> {
  const ended = new AbortController()
  const late = pause(ms, undefined, { signal: ended.signal }).then(() => {
    throw new Error(`${problem()} within ${ms} ms`)
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([promise, late])
  } finally {
    ended.abort()
  }
}
