import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { bytesFromHex, emptyBytes, hexFromBytes, utf8Encode } from '../base/index.ts'
import { encodeConfiguration, entryKind, type LogEnd } from '../raft/index.ts'
import type { SimulatedDisk } from '../simulator/disk.ts'
import { createDisk, directory, endOf, entriesAfter, logStart, open, readAll } from './testing/harness.ts'

// The files of format version 1, as docs/formats/log-segment.md and hard-state.md show them. They must open for ever.
const folder = join(import.meta.dirname, 'testdata', 'format-1')
const names = ['0000000000000001.wal', '0000000000000002.wal', 'hard-state'] as const
const options = { segmentBytesMax: 512 }

const configuration = { voters: [10n], outgoing: [], learners: [], context: emptyBytes }
const first = entriesAfter(logStart, 1, {
  kind: entryKind.configuration,
  payload: encodeConfiguration(configuration),
})
const hello = entriesAfter(endOf(first), 1, { payload: utf8Encode('hello') })
const cut = entriesAfter(endOf(hello), 2, { payload: utf8Encode('cut') })
const leader = entriesAfter(endOf(hello), 1, { term: 2, kind: entryKind.noop, payload: emptyBytes })
const world = entriesAfter(endOf(leader), 1, { payload: new Uint8Array(200).fill(0x77) })
const base: LogEnd = { index: 40, term: 3, chain: 0x1234_5678 }
const other = entriesAfter(base, 1, { group: 7, payload: utf8Encode('other') })

async function writeFiles(): Promise<SimulatedDisk> {
  const disk = createDisk()
  const log = await open(disk.mount(), options)
  const write = (entries: typeof first, term: number, commit: number, truncateAfter?: number) =>
    log.write({ group: 0, hardState: { term, vote: 10n, commit }, truncateAfter, entries })
  await write([...first, ...hello], 1, 1)
  await write(cut, 1, 2)
  await write(leader, 2, 2, 2)
  await write(world, 2, 4)
  await log.reset(7, base, { term: 3, vote: 0n, commit: 40 })
  await log.write({ group: 7, hardState: undefined, truncateAfter: undefined, entries: other })
  await log.release(0, endOf(hello))
  await log.close()
  return disk
}

function toText(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 16) {
    const words = hexFromBytes(bytes.subarray(at, at + 16)).replace(/(.{8})(?!$)/g, '$1 ')
    text += `${at.toString(16).padStart(4, '0')}  ${words}\n`
  }
  return text
}

function fromText(text: string): Uint8Array {
  return bytesFromHex(text.replace(/^[0-9a-f]{4} {2}/gm, '').replace(/\s/g, ''))
}

test('the files that are written are those of format 1, byte for byte', async () => {
  const disk = await writeFiles()
  assert.deepEqual(
    disk.paths('durable'),
    names.map((name) => `${directory}/${name}`),
  )
  for (const name of names) {
    const path = join(folder, `${name}.txt`)
    const text = toText(disk.durableBytes(`${directory}/${name}`) ?? emptyBytes)
    if (process.env.REWRITE === '1') writeFileSync(path, text)
    assert.equal(text, readFileSync(path, 'utf8'))
  }
})

test('files of format 1 open', async () => {
  const disk = createDisk()
  await disk.makeDirectory(directory)
  for (const name of names) {
    const file = await disk.open(`${directory}/${name}`, { create: true, durableWrites: true })
    await file.write(0, [fromText(readFileSync(join(folder, `${name}.txt`), 'utf8'))])
    await file.close()
  }
  const log = await open(disk.mount(), options)
  assert.deepEqual(log.recovered, [
    {
      group: 0,
      hardState: { term: 2, vote: 10n, commit: 4 },
      base: endOf(hello),
      end: endOf(world),
      cutEnd: undefined,
      configurations: [],
    },
    {
      group: 7,
      hardState: { term: 3, vote: 0n, commit: 40 },
      base,
      end: endOf(other),
      cutEnd: undefined,
      configurations: [],
    },
  ])
  assert.deepEqual(await readAll(log, 0, 3, 4), [...leader, ...world])
  assert.deepEqual(await readAll(log, 7, 41, 41), other)
})
