import { QuorateError } from '../base/index.ts'

const advice =
  'Leave the files as they are. In a cluster: remove this member, clear its data directory and add it again as a new ' +
  'member; it receives everything from the others. A single node: restore a backup of the directory.'

/** `data-damaged` that says where and what to do. The range is half-open, in bytes. */
export function damaged(path: string, range: { first: number; end: number }, what: string): QuorateError {
  return new QuorateError('data-damaged', `${path}, bytes [${range.first}, ${range.end}): ${what}. ${advice}`)
}
