/**
 * Running totals of all provers (simulation, explorer, fuzzing, sweeps, real clusters), kept in one committed file.
 *
 * Shape of the file, JSON: { "format": 1, "rows": { NAME: Row } }. A row belongs to one prover. `figures` are sums over
 * all runs, by name, or by name and kind ("faults": {"crash": 3}); a figure that a row does not have counts as 0. A
 * name says its unit where it is not a count ("simulatedHours"). Nothing is ever taken away from a figure.
 */

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { describeCommit } from '../bench/machine.ts'

export const totalsPath = 'docs/reliability-totals.json'

export type Figures = Readonly<Record<string, number | Readonly<Record<string, number>>>>

/** What one run of a prover adds to its row. */
export interface Addition {
  readonly figures: Figures
  /** The commit that was proven. */
  readonly commit: string
  /** The day of the run, as 2026-11-21. */
  readonly date: string
  /** Where the next run of this prover begins: a seed, a round. */
  readonly next?: number
}

export interface Row {
  /** The days of the first and the last run, and the commit of the last. */
  readonly since: string
  readonly until: string
  readonly commit: string
  readonly runs: number
  readonly next?: number
  readonly figures: Figures
}

export interface Totals {
  readonly format: 1
  readonly rows: Readonly<Record<string, Row>>
}

/** Adds a run to the row `name` of the file and returns the row. One process at a time: the file has no lock. */
export function addToTotals(name: string, addition: Addition, path: string = totalsPath): Row {
  const totals = withAddition(readTotals(path), name, addition)
  const written = `${path}.new`
  writeFileSync(written, `${JSON.stringify(totals, undefined, 2)}\n`)
  renameSync(written, path)
  return totals.rows[name] as Row
}

/** Adds a run of now and of this tree; `next` is where the next one begins. */
export function countRun(name: string, figures: Figures, next?: number): void {
  addToTotals(name, { ...now(), figures, ...(next === undefined ? {} : { next }) })
}

/** Adds one run of several rows: the tree is looked at before the file, which is part of it, changes. */
export function countRuns(rows: Readonly<Record<string, Figures>>, path: string = totalsPath): void {
  const when = now()
  for (const [name, figures] of Object.entries(rows)) addToTotals(name, { ...when, figures }, path)
}

function now(): Pick<Addition, 'commit' | 'date'> {
  const { commit, dirty } = describeCommit()
  return { commit: dirty ? `${commit} (changed)` : commit, date: new Date().toISOString().slice(0, 10) }
}

/** What the file holds; without a file, no rows. */
export function readTotals(path: string = totalsPath): Totals {
  if (!existsSync(path)) return { format: 1, rows: {} }
  const totals = JSON.parse(readFileSync(path, 'utf8')) as Totals
  if (totals.format !== 1) throw new Error(`${path} has format ${totals.format}; this build knows 1`)
  return totals
}

/** `totals` with one more run in the row `name`. */
export function withAddition(totals: Totals, name: string, addition: Addition): Totals {
  const before = totals.rows[name]
  const { figures, commit, date, next = before?.next } = addition
  const row: Row = {
    since: before?.since ?? date,
    until: date,
    commit,
    runs: (before?.runs ?? 0) + 1,
    ...(next === undefined ? {} : { next }),
    figures: sumOf(before?.figures ?? {}, figures),
  }
  return { format: 1, rows: { ...totals.rows, [name]: row } }
}

function sumOf(left: Figures, right: Figures): Figures {
  const sum: Record<string, number | Readonly<Record<string, number>>> = { ...left }
  for (const [name, value] of Object.entries(right)) {
    const before = sum[name] ?? (typeof value === 'number' ? 0 : {})
    if (typeof value === 'number' && typeof before === 'number') sum[name] = addNumbers(name, before, value)
    else if (typeof value === 'object' && typeof before === 'object') {
      sum[name] = sumOf(before, value) as Readonly<Record<string, number>>
    } else throw new Error(`${name} is a number in one place and numbers by kind in the other`)
  }
  return sum
}

/** Hours are kept to a few seconds; sums of fractions would grow digits for ever. */
function addNumbers(name: string, before: number, value: number): number {
  if (!(Number.isFinite(value) && value >= 0)) throw new Error(`${name} grows by ${value}`)
  return Math.round((before + value) * 10_000) / 10_000
}
