// A copy of the tree in which a bug is planted. The product itself has no switch for one.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { join, sep } from 'node:path'
import { type Mutant, plant } from './catalogue.ts'
import type { TestFiles } from './order.ts'

const root = join(import.meta.dirname, '..', '..')
/** Of a run that is ended before its time. */
const leftBehind = new Set<string>()
process.on('exit', () => {
  for (const directory of leftBehind) rmSync(directory, { recursive: true, force: true })
})
const copied = [
  'src',
  'test',
  'testing',
  'bench',
  'docs',
  'package.json',
  'tsconfig.json',
  'biome.json',
  '.gitignore',
]

export interface Tree {
  readonly directory: string
  /** The tests that are at hand in the copy: those of `room`, and all others. */
  testFiles(room: string): TestFiles
  remove(): void
}

/** The tree as it is, or with the bug of `mutant`. Throws when it cannot be planted, or is no program any more. */
export function copyTree(mutant: Mutant | undefined): Tree {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-mutant-'))
  leftBehind.add(directory)
  const remove = (): void => {
    rmSync(directory, { recursive: true, force: true })
    leftBehind.delete(directory)
  }
  try {
    for (const name of copied) cpSync(join(root, name), join(directory, name), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
    if (mutant !== undefined) change(join(directory, mutant.file), mutant)
  } catch (error) {
    remove()
    throw error
  }
  return { directory, testFiles: (room) => testFiles(directory, room), remove }
}

function change(path: string, mutant: Mutant): void {
  const planted = plant(mutant, readFileSync(path, 'utf8'))
  stripTypeScriptTypes(planted)
  writeFileSync(path, planted)
}

/**
 * Not those that judge the text of the tree, which any change of it could fail, nor those that start the built product,
 * which is not built here.
 */
const leftOut = ['tidy', 'tidy.test.ts', 'mutants.test.ts', 'processes']

function testFiles(directory: string, room: string): TestFiles {
  const filesIn = (folder: string): string[] =>
    readdirSync(join(directory, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.test.ts'))
      .filter((path) => folder === 'src' || !leftOut.includes(path.split(sep)[0] ?? ''))
      .map((path) => join(folder, path))
      .sort()
  const all = [...filesIn('src'), ...filesIn('test')]
  const isOwn = (path: string): boolean => path.startsWith(join('src', room, '/'))
  return { own: all.filter(isOwn), others: all.filter((path) => !isOwn(path)) }
}
