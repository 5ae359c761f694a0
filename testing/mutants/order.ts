// In which order the checks are tried on one planted bug, and what is remembered of it. What fired last time goes first;
// that is an order and no choice: whether nothing notices a bug is said after all standard checks have been run.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Mutant } from './catalogue.ts'

/** What noticed a planted bug when it was last run. */
export interface Noticed {
  /** The test that failed: `file: name`. */
  readonly tests?: string | undefined
  /** What the standard seeds made of it, in their order; undefined: they were not asked. */
  readonly simulator?: SimulatorVerdict | undefined
  /** What the sweeps on a real kernel said. */
  readonly kernel?: string | undefined
}

export interface SimulatorVerdict {
  /** From the start of the first standard seed to the end of the one that noticed it, or of the last. */
  readonly simulatedSeconds: number
  /** Undefined: no standard seed noticed it. */
  readonly noticed?: { readonly seed: number; readonly promise: string } | undefined
}

/** By the name of the planted bug. */
export type NoticedRecord = Readonly<Record<string, Noticed>>

export type Step =
  /** The standard seeds, or of these `only` one. */
  | { readonly by: 'simulator'; readonly only?: number }
  | { readonly by: 'tests'; readonly files: readonly string[] }

/** Test files of the room that the bug is in, and all others. */
export interface TestFiles {
  readonly own: readonly string[]
  readonly others: readonly string[]
}

/**
 * The steps until one fires. `isSimulatorAsked`: all standard seeds come first, so that what they say is known whatever
 * the tests say.
 */
export function orderSteps(
  by: Mutant['by'],
  noticed: Noticed,
  { own, others }: TestFiles,
  isSimulatorAsked: boolean,
): Step[] {
  const seeds: Step = { by: 'simulator' }
  const known = [...own, ...others].filter((file) => file === fileOf(noticed.tests))
  const isNew = (file: string): boolean => !known.includes(file)
  const seed = noticed.simulator?.noticed?.seed
  const test: Step[] = known.length > 0 ? [{ by: 'tests', files: known }] : []
  const rest: Step[] = [own, others].map((files) => ({ by: 'tests', files: files.filter(isNew) }))
  if (isSimulatorAsked) return [seeds, ...test, ...rest]
  const remembered: Step[] = seed === undefined ? [] : [{ by: 'simulator', only: seed }]
  if (by === 'simulator') return [...remembered, ...test, seeds, ...rest]
  return [...test, ...remembered, ...rest.slice(0, 1), seeds, ...rest.slice(1)]
}

/** The file of a test that is named `file: name`. */
export function fileOf(test: string | undefined): string | undefined {
  return test?.slice(0, test.indexOf(': '))
}

const recordPath = join(import.meta.dirname, 'noticed.json')

export function readRecord(): NoticedRecord {
  return parseRecord(readFileSync(recordPath, 'utf8'))
}

/** Writes what is known of the bugs of the catalogue, in its order. What is known of others goes. */
export function writeRecord(mutants: readonly Mutant[], record: NoticedRecord): void {
  const known = mutants.flatMap(({ name }) => (record[name] === undefined ? [] : [[name, record[name]]]))
  writeFileSync(recordPath, `${JSON.stringify(Object.fromEntries(known), undefined, 2)}\n`)
}

/** Throws on what is no record. */
export function parseRecord(text: string): NoticedRecord {
  const record: unknown = JSON.parse(text)
  if (typeof record !== 'object' || record === null) throw new Error('noticed.json holds no object')
  for (const [name, noticed] of Object.entries(record as Record<string, Partial<Noticed> | null>)) {
    const { tests, simulator } = noticed ?? {}
    const isRead =
      (tests === undefined || tests.includes(': ')) &&
      (simulator === undefined || typeof simulator.simulatedSeconds === 'number')
    if (noticed === null || !isRead) throw new Error(`noticed.json: ${name} cannot be read`)
  }
  return record as NoticedRecord
}
