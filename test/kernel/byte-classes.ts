// Which byte of a data directory is what: the fields of the formats in docs/formats, by their own description and not by
// the code that reads them.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Bytes [first, end) of a file. */
export interface Stretch {
  readonly file: string
  readonly first: number
  readonly end: number
}

export type ByteClasses = Map<string, Stretch[]>

type Field = readonly [name: string, first: number, end: number]

const segmentFields: readonly Field[] = [
  ['magic', 0, 8],
  ['version', 8, 12],
  ['header size', 12, 16],
  ['cluster', 16, 24],
  ['node', 24, 32],
  ['sequence', 32, 40],
  ['previous sum', 40, 44],
  ['previous end', 44, 48],
]
const recordBytes = 48
const recordFields: readonly Field[] = [
  ['version', 0, 1],
  ['kind', 1, 2],
  ['zero', 2, 4],
  ['group', 4, 8],
  ['index', 8, 16],
  ['term', 16, 24],
  ['synced through', 24, 28],
  ['batch end', 28, 32],
  ['payload bytes', 32, 36],
  ['payload checksum', 36, 40],
  ['chain', 40, 44],
  ['header checksum', 44, 48],
]
const trailerBytes = 28

export function logClasses(directory: string): ByteClasses {
  const classes: ByteClasses = new Map()
  for (const name of names(directory, 'wal', '.wal')) {
    const file = join('wal', name)
    const bytes = readFileSync(join(directory, file))
    const headerEnd = bytes.readUInt32LE(12)
    for (const [field, first, end] of segmentFields) add(classes, `segment ${field}`, { file, first, end })
    if (headerEnd > 52) add(classes, 'segment group table', { file, first: 48, end: headerEnd - 4 })
    add(classes, 'segment checksum', { file, first: headerEnd - 4, end: headerEnd })
    let at = headerEnd
    while (at + recordBytes <= bytes.length && bytes[at] === 1) {
      for (const [field, first, end] of recordFields) {
        add(classes, `record ${field}`, { file, first: at + first, end: at + end })
      }
      const payloadEnd = at + recordBytes + bytes.readUInt32LE(at + 32)
      if (payloadEnd > at + recordBytes)
        add(classes, 'payload', { file, first: at + recordBytes, end: payloadEnd })
      at = payloadEnd
    }
    if (at < bytes.length) add(classes, 'zeros behind the end', { file, first: at, end: bytes.length })
  }
  const hardState = join('wal', 'hard-state')
  for (let first = 0; first < statSync(join(directory, hardState)).size; first += 512) {
    add(classes, 'hard state', { file: hardState, first, end: first + 512 })
  }
  add(classes, 'identity', { file: 'identity', first: 0, end: statSync(join(directory, 'identity')).size })
  return classes
}

export function snapshotClasses(directory: string): ByteClasses {
  const classes: ByteClasses = new Map()
  for (const name of names(directory, 'snapshots', '.snapshot')) {
    const file = join('snapshots', name)
    const bytes = readFileSync(join(directory, file))
    const headerEnd = bytes.readUInt32LE(12)
    add(classes, 'snapshot header', { file, first: 0, end: headerEnd - 4 })
    add(classes, 'snapshot header checksum', { file, first: headerEnd - 4, end: headerEnd })
    let at = headerEnd
    while (at + 8 <= bytes.length - trailerBytes) {
      const end = at + 8 + bytes.readUInt32LE(at)
      add(classes, 'snapshot chunk size', { file, first: at, end: at + 4 })
      add(classes, 'snapshot chunk checksum', { file, first: at + 4, end: at + 8 })
      if (end > at + 8) add(classes, 'snapshot chunk', { file, first: at + 8, end })
      at = end
    }
    add(classes, 'snapshot trailer', { file, first: bytes.length - trailerBytes, end: bytes.length })
  }
  return classes
}

/** LMDB's own layout: two roots, then pages. Which of them are free now is its matter. */
export function storeClasses(directory: string, suffix: string): ByteClasses {
  const classes: ByteClasses = new Map()
  const file = join('store', 'data.mdb')
  const bytes = readFileSync(join(directory, file))
  const pageBytes = bytes.readUInt32LE(48)
  add(classes, `store roots${suffix}`, { file, first: 0, end: 2 * pageBytes })
  for (let first = 2 * pageBytes; first < bytes.length; first += pageBytes) {
    // Flags and the places of free space; an overflow page has a count there.
    add(classes, `store page header${suffix}`, { file, first, end: first + 24 })
    add(classes, `store page${suffix}`, {
      file,
      first: first + 24,
      end: Math.min(first + pageBytes, bytes.length),
    })
  }
  return classes
}

function add(classes: ByteClasses, name: string, stretch: Stretch): void {
  const known = classes.get(name)
  if (known === undefined) classes.set(name, [stretch])
  else known.push(stretch)
}

function names(directory: string, folder: string, ending: string): string[] {
  return readdirSync(join(directory, folder))
    .filter((name) => name.endsWith(ending))
    .sort()
}
