import { constants } from 'node:fs'
import { open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { QuorateError } from '../base/index.ts'
import { readStartRoot } from './lmdb-layout.ts'
import { checkPages } from './lmdb-pages.ts'

/**
 * A look at the files before lmdb opens them, for two things it does not do itself. A file that is no store, that leads
 * it astray, or that cannot be opened makes it crash the whole process, so it is refused here. And a file whose first
 * commit never became durable may hold anything after a power cut; nobody was told that anything is in it, so it is
 * removed and made anew.
 */
const dataFile = 'data.mdb'
const lockFile = 'lock.mdb'
const magic = 0xbeefc0de
const version = 2
const pageSizes: readonly number[] = [4096, 8192, 16384, 32768, 65536]

/** Holds the reason why nobody may rely on the store any more. */
const failedFile = 'failed'

/** Notes that a commit failed in a way that leaves the file unknown. Best effort: the disk may refuse this as well. */
export async function markFailed(directory: string, reason: string): Promise<void> {
  try {
    await writeFile(join(directory, failedFile), `${reason}\n`, { flush: true })
  } catch {
    // The caller reports the failure that led here.
  }
}

/**
 * True: the store exists and was durable at least once. False: there is none now. Error: `data-damaged`; what the system
 * says when a file of the store cannot be opened. The pages of a store that an orderly end vouches for are not read.
 */
export async function prepareDataFile(directory: string, isVouchedFor: boolean): Promise<boolean> {
  const path = join(directory, dataFile)
  for (const name of [dataFile, lockFile]) await tryToOpen(join(directory, name))
  const reason = await readHead(join(directory, failedFile))
  if (reason !== undefined) {
    const text = new TextDecoder().decode(reason).trim()
    throw new QuorateError('data-damaged', `${path} cannot be relied upon since an earlier failure: ${text}`)
  }
  const head = await readHead(path)
  if (head === undefined || head.length === 0) return false
  const damaged = (what: string): QuorateError =>
    new QuorateError('data-damaged', `${path} is not a store: ${what} in its first ${head.length} bytes`)
  if (head.length < 4096) throw damaged('a page is missing')
  const view = new DataView(head.buffer, head.byteOffset, head.length)
  const pageSize = view.getUint32(48, true)
  if (!pageSizes.includes(pageSize) || head.length < 2 * pageSize) throw damaged('the page size is wrong')
  for (const root of [0, pageSize]) {
    const isRoot =
      view.getUint32(root + 24, true) === magic && (view.getUint32(root + 28, true) & 0xffff) === version
    if (!isRoot) throw damaged(`there is no root at ${root}`)
  }
  if (view.getBigUint64(pageSize / 2 + 152, true) > 0n) {
    const root = readStartRoot(path, head, pageSize)
    if (!isVouchedFor) await checkPages(path, root)
    return true
  }
  await rm(path)
  await rm(join(directory, lockFile), { force: true })
  return false
}

/** As lmdb will open it, except that nothing is made. */
async function tryToOpen(path: string): Promise<void> {
  try {
    await (await open(path, constants.O_RDWR)).close()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}

/** The first two pages of any size, or what there is of them; undefined when there is no file. */
async function readHead(path: string): Promise<Uint8Array | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const head = new Uint8Array(2 * 65536)
      const { bytesRead } = await file.read(head, 0, head.length, 0)
      return head.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
