// The driver's side of interpose.c: builds it, says at which call it acts, and reads what the program called.
import { spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** The order of the enumeration in interpose.c. */
const actions = [
  'nothing',
  'kill-before',
  'kill-after',
  'stop-before',
  'fail-once',
  'fail-always',
  'half-once',
  'half-then-fail',
] as const
export type Action = (typeof actions)[number]

export const errno: Readonly<Record<'EIO' | 'ENOSPC', number>> = { EIO: 5, ENOSPC: 28 }

const place = { count: 0, at: 8, action: 16, error: 20, fired: 24, traced: 28, trace: 32 } as const
const traceBytes = 1 << 20

/** Throws when there is no compiler. */
export function buildInterposer(directory: string): string {
  const library = join(directory, 'interpose.so')
  const source = join(import.meta.dirname, 'interpose.c')
  const built = spawnSync('cc', ['-O1', '-shared', '-fPIC', '-o', library, source, '-ldl'], {
    encoding: 'utf8',
  })
  if (built.status !== 0) throw new Error(`cc interpose.c: ${built.stderr || built.error?.message}`)
  return library
}

/** One life: the calls of all its processes are counted together. */
export class Interposer {
  readonly environment: Readonly<Record<string, string>>
  readonly #file: number

  constructor(library: string, controlPath: string, directory: string) {
    this.#file = openSync(controlPath, 'w+')
    ftruncateSync(this.#file, place.trace + traceBytes)
    this.environment = { LD_PRELOAD: library, SWEEP_CONTROL: controlPath, SWEEP_DIRECTORY: directory }
  }

  /** Acts on call `at`, counted from 1 since the last `reset`. */
  arm(at: number, action: Action, error = 0): void {
    this.#write32(place.action, actions.indexOf(action))
    this.#write32(place.error, error)
    this.#write64(place.at, at)
  }

  get count(): number {
    return Number(this.#read(place.count, 8).readBigUInt64LE())
  }

  /** How often it acted. */
  get fired(): number {
    return this.#read(place.fired, 4).readUInt32LE()
  }

  /** Every call so far, as "name path below the directory". */
  calls(): string[] {
    const size = Math.min(this.#read(place.traced, 4).readUInt32LE(), traceBytes)
    return this.#read(place.trace, size)
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
  }

  close(): void {
    closeSync(this.#file)
  }

  #read(position: number, size: number): Buffer {
    const bytes = Buffer.alloc(size)
    readSync(this.#file, bytes, 0, size, position)
    return bytes
  }

  #write32(position: number, value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    writeSync(this.#file, bytes, 0, 4, position)
  }

  #write64(position: number, value: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(value))
    writeSync(this.#file, bytes, 0, 8, position)
  }
}

/** A call with what differs from run to run taken out: process ids, sequence numbers, indexes. */
export function boundaryOf(call: string): string {
  return call
    .replace(/lock-draft\.\S+/, 'lock-draft')
    .replace(/lock\.\d+/, 'lock')
    .replace(/[0-9a-f-]{16,}/g, '*')
}
