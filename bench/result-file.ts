// Where a run is stored: each in a file of its own, however many there are of one day, commit and part.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

type Run = { readonly date: string; readonly commit: string }

/**
 * The path of the new file: `<date>-<commit>-<part>.json`, and where a run has that name already `<date>-<commit>-<part>-2.json`
 * and so on. What is stored there already stays as it is, also when another run is stored at the same moment.
 */
export function storeResult(directory: string, part: string, result: Run): string {
  mkdirSync(directory, { recursive: true })
  const text = `${JSON.stringify(result, null, 2)}\n`
  for (let run = 1; ; run++) {
    const number = run === 1 ? '' : `-${run}`
    const path = join(directory, `${result.date}-${result.commit}-${part}${number}.json`)
    if (isCreated(path, text)) return path
  }
}

/** False: something has that name. */
function isCreated(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}
