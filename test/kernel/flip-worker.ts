// Opens data directories in which one bit was changed, one after the other, with the real disk and the real recovery,
// and says what came of it. A process of its own: some damage ends the process.
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Entry } from '../../src/raft/index.ts'
import { flipBit } from './flip-bit.ts'
import { base, server } from './product.ts'

const { configFromFlags, parseFlags, realWorld, startServer } = server
const { crc32c, isQuorateError } = base
const readBytesMax = 1 << 20
const settleMs = 5_000
const pollMs = 5

export interface Flip {
  /** The directory to copy, and where to. */
  readonly from: string
  readonly to: string
  readonly flags: readonly string[]
  /** Undefined: nothing is changed, for the answer to compare with. */
  /** How far it applies in the end: what the leader proposes at its start comes a moment later. 0: see for yourself. */
  readonly applied: number
  readonly change: { readonly file: string; readonly at: number; readonly bit: number } | undefined
}

/** `state`: everything a client or a peer could learn, in one line. */
export type FlipAnswer =
  | { readonly how: 'open'; readonly state: string; readonly applied: number; readonly isNoticed: boolean }
  | { readonly how: 'refused'; readonly code: string; readonly text: string }

process.on('message', (flip: Flip) => {
  answer(flip).then(
    (found) => process.send?.(found),
    (error: unknown) =>
      process.send?.({ how: 'refused', code: 'uncaught', text: String(error) } satisfies FlipAnswer),
  )
})
process.on('disconnect', () => process.exit(0))

async function answer({ from, to, flags, applied, change }: Flip): Promise<FlipAnswer> {
  cpSync(from, to, { recursive: true })
  try {
    if (change !== undefined) flipBit(join(to, change.file), change.at, change.bit)
    return await open(to, flags, applied)
  } finally {
    rmSync(to, { recursive: true, force: true })
  }
}

async function open(directory: string, flags: readonly string[], applied: number): Promise<FlipAnswer> {
  const config = configFromFlags(parseFlags([...flags, '--data-dir', directory], {}))
  const noticed: string[] = []
  const logger = {
    log: (level: string, event: string): void => {
      if (level === 'warn' || level === 'error') noticed.push(event)
    },
  }
  const world = { ...realWorld(config), logger }
  const nowhere = { clientAddresses: [], peerAddress: undefined, metricsAddresses: [] }
  let failure: unknown
  const failed = (error: unknown): void => {
    failure = error
  }
  try {
    // No snapshot while it is looked at: the log would be released under the eyes of whoever reads it.
    const calm = { ...config, ...nowhere, snapshotCount: Number.MAX_SAFE_INTEGER }
    const opened = await startServer(calm, { failed }, world)
    try {
      await settled(opened, applied)
      const state = await describe(opened)
      if (failure !== undefined) throw failure
      return { how: 'open', state, applied: opened.core.appliedIndex, isNoticed: noticed.length > 0 }
    } finally {
      await opened.stop()
    }
  } catch (error) {
    const code = isQuorateError(error) ? error.code : 'uncaught'
    return { how: 'refused', code, text: error instanceof Error ? error.message : String(error) }
  }
}

async function settled({ core }: Awaited<ReturnType<typeof startServer>>, applied: number): Promise<void> {
  if (applied === 0) await sleep(settleMs)
  const untilMs = performance.now() + settleMs
  while (core.appliedIndex < applied && performance.now() < untilMs) await sleep(pollMs)
}

async function describe({ node, core }: Awaited<ReturnType<typeof startServer>>): Promise<string> {
  const [recovered] = node.log.recovered
  if (recovered === undefined) return 'an empty log'
  const { hardState, base, end } = recovered
  const entries: string[] = []
  for (let next = base.index + 1; next <= end.index; ) {
    const read: { entries: readonly Entry[] } = await node.log.read(0, next, end.index + 1, readBytesMax)
    for (const { index, term, kind, chain, payload } of read.entries) {
      entries.push(`${index} ${term} ${kind} ${chain} ${crc32c(payload)}`)
    }
    next += read.entries.length
  }
  const snapshot = core.openSnapshot()
  let rows = 0
  for (let chunk = snapshot.next(); chunk !== undefined; chunk = snapshot.next()) rows = crc32c(chunk, rows)
  snapshot.done()
  return JSON.stringify({
    term: hardState.term,
    vote: String(hardState.vote),
    base: base.index,
    end: `${end.index} ${end.term} ${end.chain}`,
    entries: crc32c(new TextEncoder().encode(entries.join('\n'))),
    applied: core.appliedIndex,
    revision: core.revision,
    digest: core.digest,
    rows,
  })
}
