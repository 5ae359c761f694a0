import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bytesFromHex, hexFromBytes } from '../../src/base/index.ts'

/** Inputs that found something once or go a way of their own: a file a target, a line an input, in hex. */
const corpusDirectory = join(import.meta.dirname, 'testdata')
/** What `npm run fuzz` found; not part of the repository. */
export const findingsDirectory: string = join(import.meta.dirname, 'findings')

export function readCorpus(target: string): Uint8Array[] {
  const path = join(corpusDirectory, `${target}.txt`)
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => bytesFromHex(line))
}

/** The names that a corpus file has: each must be a target. */
export function corpusNames(): string[] {
  if (!existsSync(corpusDirectory)) return []
  return readdirSync(corpusDirectory).map((name) => name.replace(/\.txt$/, ''))
}

const keptBytesMax = 300
const keptMax = 12

/** Adds inputs, the short ones and not many: the corpus is for people too. */
export function addToCorpus(target: string, inputs: readonly Uint8Array[]): number {
  const known = readCorpus(target).map(hexFromBytes)
  const short = inputs.filter((input) => input.length <= keptBytesMax).map(hexFromBytes)
  const added = [...new Set(short)].filter((hex) => !known.includes(hex)).slice(0, keptMax - known.length)
  if (added.length === 0) return 0
  mkdirSync(corpusDirectory, { recursive: true })
  writeFileSync(join(corpusDirectory, `${target}.txt`), `${[...known, ...added].join('\n')}\n`)
  return added.length
}

/** Returns the path. */
export function writeFinding(target: string, what: string, input: Uint8Array): string {
  mkdirSync(findingsDirectory, { recursive: true })
  const digest = createHash('sha256').update(input).digest('hex').slice(0, 12)
  const path = join(findingsDirectory, `${target}-${digest}.txt`)
  writeFileSync(path, `# ${what.replaceAll('\n', ' ')}\n${hexFromBytes(input)}\n`)
  return path
}
