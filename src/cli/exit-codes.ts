import { type ErrorCode, isQuorateError } from '../base/index.ts'

/** How the process ends. Frozen: docs/operating/exit-codes.md. */
export const exitCode = {
  ok: 0,
  /** Something unexpected, or a disk that failed: a restart may help. */
  failed: 1,
  /** A flag or a configuration that cannot be. */
  usage: 2,
  /** The data must not be used as it is: damaged, of another cluster, of another member, wiped, too new. */
  data: 3,
  /** An address or the data directory is in use by a running process. */
  inUse: 4,
  /** This member was removed from the cluster. */
  removed: 5,
} as const
export type ExitCode = (typeof exitCode)[keyof typeof exitCode]

const usageCodes: readonly ErrorCode[] = [
  'flag-unknown',
  'flag-unsupported',
  'flag-invalid',
  'address-invalid',
]
const dataCodes: readonly ErrorCode[] = [
  'data-damaged',
  'data-wrong-cluster',
  'data-wiped',
  'replica-corrupt',
  'format-unsupported',
  'handshake-refused',
]

export function exitCodeOf(error: unknown): ExitCode {
  if (!isQuorateError(error)) return exitCode.failed
  if (usageCodes.includes(error.code)) return exitCode.usage
  if (dataCodes.includes(error.code)) return exitCode.data
  if (error.code === 'address-in-use' || error.code === 'data-locked') return exitCode.inUse
  if (error.code === 'member-not-found') return exitCode.removed
  return exitCode.failed
}

/** Whether starting again without a change by a human can help. */
export function isRestartable(code: number | null): boolean {
  return code === null || code === exitCode.failed
}
