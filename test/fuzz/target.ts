import { performance } from 'node:perf_hooks'
import { isDeepStrictEqual } from 'node:util'
import { getHeapStatistics } from 'node:v8'
import { type ErrorCode, isQuorateError } from '../../src/base/index.ts'
import { GrpcError } from '../../src/grpc/index.ts'

/** Something that reads bytes which a stranger, a peer or a failing disk may have made. */
export interface FuzzTarget {
  readonly name: string
  /** Whole inputs, as the writers make them. */
  readonly seeds: readonly Uint8Array[]
  /** Returns what it read; a promise for what reads through the interfaces of `io`. */
  readonly read: (input: Uint8Array) => unknown
  /** The codes it may refuse with; `grpc` is any GrpcError. */
  readonly refusals: readonly (ErrorCode | 'grpc')[]
  /** Writes what was read: reading that must give the same again. */
  readonly write?: (value: never) => Uint8Array
  /** Makes the checksums right again, so that what stands behind them is reached. */
  readonly seal?: (input: Uint8Array) => Uint8Array
  /** Names what is wrong with what was read. */
  readonly judge?: (value: never, input: Uint8Array) => string | undefined
}

/** What one input did. A `signature` that is new makes the input worth changing further. */
export type Outcome =
  | { readonly kind: 'read' | 'refused'; readonly signature: string }
  | { readonly kind: 'finding'; readonly what: string }

/** More of it for one input is a hang, when it is seen again on the same input alone. */
const patienceMs = 100
/** Memory that one input may take: what a decoder allocates goes with what it was given, not with what it was told. */
const allowance = { bytes: 8 * 1024 * 1024, bytesPerByte: 1000 }

/** Reads `input` once and judges what it did, how long it took and how much memory. */
export async function tryInput(target: FuzzTarget, input: Uint8Array): Promise<Outcome> {
  const { outcome, elapsedMs, bytes } = await measure(target, input)
  if (outcome.kind === 'finding') return outcome
  if (elapsedMs > patienceMs) {
    const usedMs = await leastOfThree(async () => (await measure(target, input)).usedMs)
    if (usedMs > patienceMs) return { kind: 'finding', what: `takes ${usedMs.toFixed(0)} ms` }
  }
  if (bytes > allowance.bytes + allowance.bytesPerByte * input.length) {
    const allocated = await leastOfThree(async () => (await measure(target, input)).bytes)
    if (allocated > allowance.bytes) return { kind: 'finding', what: `allocates ${allocated >> 20} MiB` }
  }
  return outcome
}

/** Another process on the machine, and a collection of garbage, cost nothing here. */
async function leastOfThree(value: () => Promise<number>): Promise<number> {
  return Math.min(await value(), await value(), await value())
}

interface Measured {
  readonly outcome: Outcome
  readonly elapsedMs: number
  readonly usedMs: number
  /** Allocated, on the heap and beside it; less when garbage was collected meanwhile. */
  readonly bytes: number
}

async function measure(target: FuzzTarget, input: Uint8Array): Promise<Measured> {
  const bytesBefore = allocatedBytes()
  const startedAt = performance.now()
  const before = process.cpuUsage()
  const outcome = await readOnce(target, input)
  const { user, system } = process.cpuUsage(before)
  const elapsedMs = performance.now() - startedAt
  return { outcome, elapsedMs, usedMs: (user + system) / 1000, bytes: allocatedBytes() - bytesBefore }
}

function allocatedBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
  return heap + external
}

async function readOnce(target: FuzzTarget, input: Uint8Array): Promise<Outcome> {
  let value: unknown
  try {
    const result = target.read(input)
    value = result instanceof Promise ? await result : result
  } catch (error) {
    return judgeError(target, error)
  }
  const wrong = target.judge?.(value as never, input) ?? (await judgeRewriting(target, value))
  if (wrong !== undefined) return { kind: 'finding', what: wrong }
  return { kind: 'read', signature: shapeOf(value, 0) }
}

function judgeError(target: FuzzTarget, error: unknown): Outcome {
  if (error instanceof GrpcError && target.refusals.includes('grpc')) {
    return { kind: 'refused', signature: `grpc ${error.status} ${wordsOf(error.message)}` }
  }
  if (isQuorateError(error) && target.refusals.includes(error.code)) {
    if (error.message.length < 5) return { kind: 'finding', what: `refuses without a reason: ${error.code}` }
    return { kind: 'refused', signature: `${error.code} ${wordsOf(error.message)}` }
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { kind: 'finding', what: `throws ${text.split('\n').slice(0, 4).join(' | ')}` }
}

async function judgeRewriting(target: FuzzTarget, value: unknown): Promise<string | undefined> {
  if (target.write === undefined || value === undefined) return undefined
  let again: unknown
  try {
    again = await target.read(target.write(value as never))
  } catch (error) {
    return `does not read what it wrote: ${error instanceof Error ? error.stack : String(error)}`
  }
  return isDeepStrictEqual(again, value) ? undefined : 'reads something else from what it wrote'
}

/** The sentence without numbers and quoted strings: what is said, not of what. */
function wordsOf(message: string): string {
  return message.replaceAll(/"[^"]*"|[0-9a-f]{4,}|\d+/g, '#').slice(0, 80)
}

/** Kinds and rough sizes, so that a value of a new kind is noticed and one more byte is not. */
function shapeOf(value: unknown, depth: number): string {
  if (value instanceof Uint8Array) return `b${Math.min(9, Math.ceil(Math.log2(value.length + 1)))}`
  if (Array.isArray(value))
    return `[${value.length > 3 ? 'many' : value.map((one) => shapeOf(one, depth + 1)).join()}]`
  if (typeof value === 'number') return value === 0 ? '0' : value < 0 ? '-' : value < 256 ? 'n' : 'N'
  if (typeof value === 'string')
    return depth > 0 && value.length < 12 && /^[a-zA-Z]+$/.test(value) ? value : 's'
  if (typeof value !== 'object' || value === null) return typeof value
  if (depth > 3) return '{'
  return `{${Object.values(value)
    .map((one) => shapeOf(one, depth + 1))
    .join()}}`
}
