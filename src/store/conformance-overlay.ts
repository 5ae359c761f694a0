import { assert, bytesFromHex, compareBytes, hexFromBytes, SeededRandom } from '../base/index.ts'
import {
  assertSame,
  type ConformanceCase,
  type ConformanceMedium,
  describeRange,
  expectedKeys,
  type Steps,
  wait,
} from './conformance-support.ts'
import type { KeyRange, Store, StoreReader, TableName } from './contract.ts'
import { createStore } from './overlay.ts'

/** The overlay above the backend against a plain model, under random operations. Every seed is another story. */
export function overlayCase(seed: number, steps: number): ConformanceCase {
  return {
    name: `the overlay equals the model, seed ${seed}`,
    run: (medium) => overlayAgainstModel(medium, new SeededRandom(seed), steps),
  }
}

type ModelTable = Map<string, string>
type Model = Map<TableName, ModelTable>
const modelTables: readonly TableName[] = ['links', 'revisions']

function* overlayAgainstModel(medium: ConformanceMedium, random: SeededRandom, steps: number): Steps<void> {
  let backend = yield* wait(medium.open())
  let store = createStore(backend)
  let model = emptyModel()
  /** What is certainly durable, and what is if the batch under way is. */
  let durable = emptyModel()
  let taken: { model: Model; commit: { readonly done: boolean } } | undefined
  let revision = 0

  for (let step = 0; step < steps; step++) {
    const table = random.pick(modelTables)
    const key =
      table === 'revisions' && random.chance(0.7)
        ? Uint8Array.of(1, ++revision >> 8, revision & 0xff)
        : randomKey(random)
    const choice = random.between(0, 100)
    if (choice < 45) {
      const value = Uint8Array.of(step & 0xff, step >> 8)
      store.put(table, key, value)
      model.get(table)?.set(hexFromBytes(key), hexFromBytes(value))
    } else if (choice < 60) {
      store.delete(table, key)
      model.get(table)?.delete(hexFromBytes(key))
    } else if (choice < 72) {
      const value = store.get(table, key)
      const expected = model.get(table)?.get(hexFromBytes(key))
      assert((value === undefined ? undefined : hexFromBytes(value)) === expected, `step ${step}: get`)
      const peeked = store.peek(table, key)
      assert((peeked === undefined ? undefined : hexFromBytes(peeked)) === expected, `step ${step}: peek`)
    } else if (choice < 90) {
      checkRange(store, model, table, randomRange(random), step)
    } else if (choice < 96) {
      if (taken?.commit.done === true) {
        store.flushed()
        durable = taken.model
        taken = undefined
      }
      const before = store.pending.operations
      const batch = store.takeBatch()
      assert(
        (batch === undefined) === (taken !== undefined || before === 0),
        `step ${step}: one batch at a time`,
      )
      if (batch !== undefined) {
        taken = { model: copyModel(model), commit: medium.follow(backend.commit(batch)) }
        if (random.chance(0.5)) yield* wait(medium.turn())
      }
    } else if (choice < 99) {
      yield* wait(medium.turn())
    } else {
      backend = yield* wait(medium.reopen())
      store = createStore(backend)
      assert(store.pending.operations === 0 && store.pending.bytes === 0, 'a new overlay is empty')
      const found = dump(backend)
      if (found !== dumpModel(durable)) {
        assert(
          taken !== undefined && found === dumpModel(taken.model),
          `step ${step}: a whole batch or nothing`,
        )
        durable = taken.model
      }
      model = copyModel(durable)
      taken = undefined
    }
  }
  for (const table of modelTables) {
    for (const reverse of [false, true]) checkRange(store, model, table, { reverse }, steps)
  }
  store.discard()
  assert(store.pending.operations === 0 && store.pending.bytes === 0, 'nothing is pending after discard')
  while (taken !== undefined && !taken.commit.done) yield* wait(medium.turn())
  const expected = dumpModel(taken?.model ?? durable)
  assert(dump(backend) === expected, 'the backend has what was flushed')
  assert(dump(store) === expected, 'and the discarded overlay shows just that')
  yield* wait(backend.close())
}

function checkRange(store: Store, model: Model, table: TableName, range: KeyRange, step: number): void {
  const entries = model.get(table) ?? new Map<string, string>()
  const keys = [...entries.keys()].map(bytesFromHex).sort(compareBytes)
  const expected = expectedKeys(keys, range).map((key) => `${key}=${entries.get(key)}`)
  const pairs: string[] = []
  for (const { key, value } of store.range(table, range))
    pairs.push(`${hexFromBytes(key)}=${hexFromBytes(value)}`)
  assertSame(pairs, expected, `step ${step}: ${table} ${describeRange(range)}`)
  for (const stopAfter of [Number.POSITIVE_INFINITY, 1 + (expected.length >> 1)]) {
    const visited: string[] = []
    const isWhole = store.scan(
      table,
      range,
      (key, value) => visited.push(`${hexFromBytes(key)}=${hexFromBytes(value)}`) < stopAfter,
    )
    const what = `step ${step}: scan of ${table} ${describeRange(range)}`
    assertSame(visited, expected.slice(0, stopAfter), what)
    assert(isWhole === expected.length < stopAfter, `${what} says whether it was ended`)
  }
}

/** Short keys over few letters, so that puts, removals and bounds meet often; some share a long prefix. */
function randomKey(random: SeededRandom): Uint8Array {
  const letters = [0x00, 0x61, 0x62, 0xff]
  const key = Array.from({ length: random.between(1, 4) }, () => random.pick(letters))
  if (random.chance(0.2)) key.unshift(...new Array<number>(40).fill(0x70))
  return Uint8Array.from(key)
}

function randomRange(random: SeededRandom): KeyRange {
  const range: KeyRange = { reverse: random.chance(0.5) }
  if (random.chance(0.6)) range.first = randomKey(random)
  if (random.chance(0.6)) range.end = randomKey(random)
  if (random.chance(0.5)) range.limit = random.between(0, 12)
  return range
}

function emptyModel(): Model {
  return new Map(modelTables.map((table) => [table, new Map()]))
}

function copyModel(model: Model): Model {
  return new Map([...model].map(([table, entries]) => [table, new Map(entries)]))
}

function dumpModel(model: Model): string {
  const lines = modelTables.flatMap((table) =>
    [...(model.get(table) ?? [])].sort().map(([k, v]) => `${table} ${k}=${v}`),
  )
  return lines.join('\n')
}

function dump(reader: StoreReader): string {
  const lines = modelTables.flatMap((table) =>
    [...reader.range(table, {})].map(
      ({ key, value }) => `${table} ${hexFromBytes(key)}=${hexFromBytes(value)}`,
    ),
  )
  return lines.join('\n')
}
