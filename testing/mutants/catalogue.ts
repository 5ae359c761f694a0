// The planted bugs, as data: one entry in a *.txt beside this file is one exact search-and-replace in one file of `src/`.
//
//   mutant NAME
//   rows ROW, ROW          where the bug comes from: see `rows` in rows.txt
//   file src/...
//   by simulator|tests|kernel      who is expected to notice it first; after `kernel` the options of its sweep
//   expect TEXT            part of the name of the check that is expected to fire
//   what SENTENCE          the mistake, as somebody could make it
//   ---- search
//   lines that stand in the file exactly once
//   ---- replace
//   lines that take their place
//   ----
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export type Catcher = 'simulator' | 'tests' | 'kernel'

export interface Mutant {
  readonly name: string
  readonly rows: readonly string[]
  readonly file: string
  readonly by: Catcher
  /** Options of `npm run kernel`; empty unless it is by `kernel`. */
  readonly sweep: readonly string[]
  readonly expect: string
  readonly what: string
  readonly search: string
  readonly replace: string
}

/** A row of the sources, and why it has no mutant where it has none. */
export interface Row {
  readonly id: string
  readonly text: string
  readonly reason: string | undefined
}

const folder = import.meta.dirname
const rowsFile = 'rows.txt'
const head = ['mutant', 'rows', 'file', 'by', 'expect', 'what'].map((field) => `${field} (.+)\n`).join('')
const entry = new RegExp(`^${head}---- search\\n([\\s\\S]*?)\\n---- replace\\n?([\\s\\S]*)$`)

/** All mutants, in the order of files and entries. Throws on an entry that cannot be read or a name that is used twice. */
export function readMutants(): Mutant[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.txt') && name !== rowsFile)
    .sort()
  const mutants = names.flatMap((name) => parseMutants(readFileSync(join(folder, name), 'utf8'), name))
  for (const { name } of mutants) {
    if (mutants.filter((other) => other.name === name).length > 1)
      throw new Error(`two mutants named ${name}`)
  }
  return mutants
}

/** The rows that need a mutant or a reason: `id | text`, or `id | text | reason`. */
export function readRows(): Row[] {
  const lines = readFileSync(join(folder, rowsFile), 'utf8').split('\n')
  return lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [id = '', text = '', reason] = line.split(' | ')
      return { id, text, reason }
    })
}

/** The text with the bug in it. Throws unless what is searched for stands there exactly once. */
export function plant(mutant: Pick<Mutant, 'name' | 'file' | 'search' | 'replace'>, text: string): string {
  const count = text.split(mutant.search).length - 1
  if (count !== 1) throw new Error(`${mutant.name}: found ${count} times in ${mutant.file}, not once`)
  return text.replace(mutant.search, () => mutant.replace)
}

function parseMutants(text: string, source: string): Mutant[] {
  return text
    .split(/\n----\n/)
    .map((part) => part.replace(/^(#.*\n|\n)*/, ''))
    .filter((part) => part.trim() !== '')
    .map((part) => parseMutant(part, source))
}

function parseMutant(part: string, source: string): Mutant {
  const match = entry.exec(part)
  if (match === null) throw new Error(`${source}: this is no mutant:\n${part}`)
  const [, name = '', rows = '', file = '', who = '', expect = '', what = '', search = '', replace = ''] =
    match
  const [by, ...sweep] = who.split(' ')
  if (by !== 'simulator' && by !== 'tests' && by !== 'kernel') throw new Error(`${name}: nobody is "${who}"`)
  if ((by === 'kernel') !== sweep.length > 0) throw new Error(`${name}: a sweep goes with the kernel alone`)
  return { name, rows: rows.split(', '), file, by, sweep, expect, what, search, replace }
}
