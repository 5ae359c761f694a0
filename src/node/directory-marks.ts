import type { Disk } from '../io/index.ts'

/**
 * What a data directory has to say before anything in it is opened: empty files whose names say all.
 * - `state-lost`: the state was found wrong. Store and snapshots must not be used; another member has the state.
 * - `store-closed`: the store was closed in order and not opened since. Without it the store is verified.
 * docs/formats/directory-marks.md.
 */
export type DirectoryMark = 'state-lost' | 'store-closed'

export function hasMark(disk: Disk, directory: string, mark: DirectoryMark): Promise<boolean> {
  return disk.exists(`${directory}/${mark}`)
}

/** Durable when it resolves. */
export async function setMark(disk: Disk, directory: string, mark: DirectoryMark): Promise<void> {
  if (!(await hasMark(disk, directory, mark))) {
    const file = await disk.open(`${directory}/${mark}`, { create: true })
    await file.sync()
    await file.close()
  }
  await disk.syncDirectory(directory)
}

/** Durable when it resolves; no error when there is none. */
export async function clearMark(disk: Disk, directory: string, mark: DirectoryMark): Promise<void> {
  await disk.remove(`${directory}/${mark}`)
  await disk.syncDirectory(directory)
}
