import type { Finding } from './fuzzer.ts'
import { inputBytesMax } from './mutate.ts'

/** What one thread is to do. */
export interface Share {
  readonly names: readonly string[]
  readonly seed: number
  readonly sliceMs: number
  /** Whether the inputs that showed something new are wanted. */
  readonly keep: boolean
  readonly memory: SharedArrayBuffer
}

/** What came of one target. */
export interface Report {
  readonly name: string
  readonly inputs: number
  readonly refused: number
  readonly ways: number
  readonly elapsedMs: number
  readonly findings: readonly Finding[]
  readonly kept: readonly Uint8Array[]
}

const headWords = 3
export const sharedBytes: number = 4 * headWords + inputBytesMax

/**
 * The input a thread is working on, in memory that is readable from outside: a thread that hangs cannot tell.
 */
export interface CurrentInput {
  startTarget(number: number): void
  set(input: Uint8Array): void
  /** Changes with every input. */
  readonly count: number
  /** Number of the target in the share, and the input. */
  read(): { target: number; input: Uint8Array }
}

export function currentInput(memory: SharedArrayBuffer): CurrentInput {
  const words = new Int32Array(memory, 0, headWords)
  const bytes = new Uint8Array(memory, 4 * headWords)
  return {
    startTarget: (number) => Atomics.store(words, 0, number),
    set: (input) => {
      bytes.set(input.length > inputBytesMax ? input.subarray(0, inputBytesMax) : input)
      Atomics.store(words, 1, Math.min(input.length, inputBytesMax))
      Atomics.add(words, 2, 1)
    },
    get count() {
      return Atomics.load(words, 2)
    },
    read: () => ({ target: Atomics.load(words, 0), input: bytes.slice(0, Atomics.load(words, 1)) }),
  }
}
