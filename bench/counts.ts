// What a count costs: ranges that count far more keys than they return, in the core over LMDB, in processor time.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SeededRandom, utf8Encode } from '../src/base/index.ts'
import {
  type ConsistentCore,
  createConsistentCore,
  encodeCommand,
  type RangeOperation,
} from '../src/consistent-core/index.ts'
import { openLmdbStore } from '../src/io-node/index.ts'
import { createStore } from '../src/store/index.ts'
import { Arguments } from '../test/support/arguments.ts'
import { describeCommit, describeMachine } from './machine.ts'
import { storeResult } from './result-file.ts'

const usage = `node bench/counts.ts [options]
  --keys 100000,1000000   one measurement each
  --repeats 50            of each range after the first; the median counts
  --out bench/results     where the result is stored; "none" stores nothing`

const keysOfPrefix = 20
const keysOfBatch = 20_000
const value = new Uint8Array(100)

type Row = { keys: number; name: string; firstMs: number; medianMs: number; count: number }

async function main(): Promise<void> {
  const options = new Arguments(usage)
  const sizes = options.list('keys', '100000,1000000').map(Number)
  const repeats = options.number('repeats', 50)
  const out = options.text('out', 'bench/results')
  options.refuseUnknown()
  const rows: Row[] = []
  for (const size of sizes) rows.push(...(await measure(size, repeats)))
  console.table(rows)
  if (out === 'none') return
  const commit = describeCommit()
  const date = new Date().toISOString().slice(0, 10)
  const result = { date, ...commit, machine: describeMachine(), rows }
  console.log(`stored in ${storeResult(out, 'counts', result)}`)
}

async function measure(size: number, repeats: number): Promise<Row[]> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-counts-'))
  const loading = await openLmdbStore(directory)
  await load(createConsistentCore({ store: createStore(loading) }), loading, size)
  await loading.close()
  // As after a start: what the load left in memory has no part in it.
  const backend = await openLmdbStore(directory)
  const core = createConsistentCore({ store: createStore(backend) })
  for (const _ of core.load());
  const rows: Row[] = []
  for (const [name, range] of rangesOver(size)) {
    const samples: number[] = []
    let count = 0
    for (let i = 0; i <= repeats; i++) {
      const before = processorMs()
      count = countOf(core, range)
      samples.push(processorMs() - before)
    }
    const [firstMs = 0, ...others] = samples
    const medianMs = others.sort((a, b) => a - b)[others.length >> 1] ?? 0
    rows.push({ keys: size, name, firstMs, medianMs, count })
  }
  await backend.close()
  rmSync(directory, { recursive: true })
  return rows
}

/** In random order, as keys come in time, so that neighbours in the file are none in key order. */
async function load(
  core: ConsistentCore,
  backend: Awaited<ReturnType<typeof openLmdbStore>>,
  size: number,
): Promise<void> {
  const random = new SeededRandom(1)
  const order = Array.from({ length: size }, (_, i) => i)
  for (let i = size - 1; i > 0; i--) {
    const other = random.between(0, i + 1)
    const swapped = order[i] as number
    order[i] = order[other] as number
    order[other] = swapped
  }
  for (const [i, key] of order.entries()) {
    const kept = { lease: 0n, previous: false, ignoreValue: false, ignoreLease: false }
    const write = { kind: 'put', key: keyOf(key), value, ...kept } as const
    core.apply({ index: i + 1, term: 1, timeMs: 0, payload: encodeCommand({ session: undefined, write }) })
    if ((i + 1) % keysOfBatch !== 0 && i + 1 < size) continue
    const taken = core.takeBatch()
    if (taken === undefined) continue
    await backend.commit(taken.batch)
    core.flushed()
  }
}

function keyOf(i: number): Uint8Array {
  const namespace = String(Math.floor(i / keysOfPrefix)).padStart(6, '0')
  return utf8Encode(`/registry/pods/namespace-${namespace}/pod-${String(i % keysOfPrefix).padStart(8, '0')}`)
}

function rangesOver(size: number): [string, RangeOperation][] {
  const middle = keyOf(size >> 1)
  const prefix = middle.subarray(0, '/registry/pods/namespace-000000/'.length)
  const prefixEnd = prefix.slice()
  prefixEnd[prefixEnd.length - 1] = (prefixEnd.at(-1) ?? 0) + 1
  const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
  const onePrefix = { key: prefix, rangeEnd: prefixEnd }
  return [
    ['limit 10 of a prefix with 20 keys', rangeOf({ ...onePrefix, limit: 10 })],
    ['count only of a prefix with 20 keys', rangeOf({ ...onePrefix, countOnly: true })],
    ['count only of everything', rangeOf({ ...everything, countOnly: true })],
    ['limit 10 of everything', rangeOf({ ...everything, limit: 10 })],
    ['limit 500 from the middle on', rangeOf({ key: prefix, rangeEnd: Uint8Array.of(0), limit: 500 })],
    [
      'limit 500 of everything, 1,000 revisions ago',
      rangeOf({ ...everything, limit: 500, revision: size - 999 }),
    ],
    [
      'the last 10 by modification',
      rangeOf({ ...everything, limit: 10, sortOrder: 'descend', sortTarget: 'mod' }),
    ],
  ]
}

function rangeOf(fields: Partial<RangeOperation> & Pick<RangeOperation, 'key' | 'rangeEnd'>): RangeOperation {
  return {
    kind: 'range',
    limit: 0,
    revision: 0,
    sortOrder: 'none',
    sortTarget: 'key',
    keysOnly: false,
    countOnly: false,
    modRevisionMin: 0,
    modRevisionMax: 0,
    createRevisionMin: 0,
    createRevisionMax: 0,
    ...fields,
  }
}

function countOf(core: ConsistentCore, range: RangeOperation): number {
  const steps = core.range(range)
  for (;;) {
    const step = steps.next()
    if (step.done !== true) continue
    if (step.value.kind === 'refused') throw new Error(step.value.detail)
    return step.value.count
  }
}

function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

await main()
