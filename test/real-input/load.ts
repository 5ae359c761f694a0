// The two passes that write: the index itself, then a day of changes to it. Sequential, so that revisions are equal.
import { bytes, prefixRange } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'
import { keyOf, readPackages } from './packages.ts'
import type { Pair } from './pair.ts'
import { Progress } from './progress.ts'

const putsPerTransaction = 100
/** About what Debian's index holds a package; only for the remaining time. */
const fieldsPerPackage = 19

export type Loaded = { names: string[]; keys: number; firstRevision: number; lastRevision: number }

export async function loadPackages(pair: Pair, countMax: number): Promise<Loaded> {
  const names = new Set<string>()
  let keys = 0
  let firstRevision = 0
  let lastRevision = 0
  let batch: Message[] = []
  let inBatch = new Set<string>()
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return
    lastRevision = await pair.write('txn', { success: batch })
    if (firstRevision === 0) firstRevision = lastRevision
    keys += batch.length
    batch = []
    inBatch = new Set()
    progress.update(keys)
  }
  const progress = new Progress('load', Number.isFinite(countMax) ? countMax * fieldsPerPackage : undefined)
  for await (const { name, fields } of readPackages(countMax)) {
    names.add(name)
    for (const field of fields) {
      const key = keyOf(name, field.name)
      // A package can be listed in two versions; a transaction takes a key once.
      if (batch.length === putsPerTransaction || inBatch.has(key)) await flush()
      inBatch.add(key)
      batch.push({ request_put: { key: bytes(key), value: bytes(field.value) } })
    }
  }
  await flush()
  progress.finish(keys)
  return { names: [...names], keys, firstRevision, lastRevision }
}

/** Upgrades, removals, marks and retractions, chosen by position so that every run does the same. */
export async function changePackages(pair: Pair, names: readonly string[]): Promise<number> {
  const progress = new Progress('change', names.length)
  let lastRevision = 0
  for (const [i, name] of names.entries()) {
    const request = changeOf(i, name)
    if (request !== undefined) lastRevision = await pair.write('txn', request)
    progress.update(i + 1)
  }
  progress.finish(names.length)
  return lastRevision
}

function changeOf(i: number, name: string): Message | undefined {
  const version = bytes(keyOf(name, 'Version'))
  const put = (field: string, value: string): Message => ({
    request_put: { key: bytes(keyOf(name, field)), value: bytes(value), prev_kv: true },
  })
  // An upgrade under a guard: the way a registry changes a service.
  if (i % 7 === 0) {
    return {
      compare: [{ key: version, target: 0, result: 1, version: 0 }],
      success: [
        put('Version', `${i}+b1`),
        put('Upgraded', 'yes'),
        { request_range: prefixRange(`/packages/${name}/`) },
      ],
      failure: [put('Version', 'none')],
    }
  }
  if (i % 11 === 0) return { success: [{ request_delete_range: prefixRange(`/packages/${name}/`) }] }
  if (i % 13 === 0) {
    return {
      success: [
        { request_delete_range: { key: bytes(keyOf(name, 'Description')), prev_kv: true } },
        put('Mark', name),
      ],
    }
  }
  // Removed and created again in two revisions: versions start anew.
  if (i % 17 === 0) return { success: [{ request_delete_range: { key: version } }] }
  if (i % 17 === 1) return { success: [put('Version', '1'), put('Mark', 'again')] }
  return undefined
}
