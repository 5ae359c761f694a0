/**
 * The closed list of everything that can go wrong and is expected. A code is part of the public contract:
 * it may be added, never renamed. `retry` says whether the same call can succeed later without a change by
 * the caller; `deterministic` says that every replica comes to the same refusal, so it is an answer of the
 * state machine and not a fault of one node.
 */
const codes = {
  // The caller asked for something that cannot be.
  'invalid-argument': { retry: false, deterministic: true },
  unimplemented: { retry: false, deterministic: true },
  cancelled: { retry: false, deterministic: false },
  'request-too-large': { retry: false, deterministic: true },
  'key-empty': { retry: false, deterministic: true },
  'key-not-found': { retry: false, deterministic: true },
  'value-provided': { retry: false, deterministic: true },
  'lease-provided': { retry: false, deterministic: true },
  'too-many-operations': { retry: false, deterministic: true },
  'duplicate-key': { retry: false, deterministic: true },
  'sort-option-invalid': { retry: false, deterministic: true },
  'revision-compacted': { retry: false, deterministic: true },
  'revision-future': { retry: false, deterministic: true },
  'lease-not-found': { retry: false, deterministic: true },
  'lease-exists': { retry: false, deterministic: true },
  'lease-ttl-too-large': { retry: false, deterministic: true },
  'session-expired': { retry: false, deterministic: true },
  'request-number-too-old': { retry: false, deterministic: true },
  // Membership.
  'member-not-found': { retry: false, deterministic: true },
  'member-exists': { retry: false, deterministic: true },
  'peer-url-exists': { retry: false, deterministic: true },
  'member-urls-invalid': { retry: false, deterministic: true },
  'member-not-learner': { retry: false, deterministic: true },
  'learner-not-ready': { retry: true, deterministic: false },
  'too-many-learners': { retry: false, deterministic: true },
  'not-enough-started-members': { retry: true, deterministic: false },
  'cluster-unhealthy': { retry: true, deterministic: false },
  'transferee-invalid': { retry: false, deterministic: false },
  'learner-unsupported': { retry: false, deterministic: false },
  'change-in-progress': { retry: true, deterministic: false },
  // Who may answer, and whether an answer is known.
  'not-leader': { retry: true, deterministic: false },
  'no-leader': { retry: true, deterministic: false },
  'leader-changed': { retry: true, deterministic: false },
  'outcome-unknown': { retry: false, deterministic: false },
  timeout: { retry: true, deterministic: false },
  'revision-wait-timeout': { retry: true, deterministic: false },
  overloaded: { retry: true, deterministic: false },
  stopped: { retry: true, deterministic: false },
  // Disk and data.
  'disk-failed': { retry: false, deterministic: false },
  'disk-full': { retry: true, deterministic: false },
  'file-not-found': { retry: false, deterministic: false },
  'file-exists': { retry: false, deterministic: false },
  'data-damaged': { retry: false, deterministic: false },
  'data-locked': { retry: false, deterministic: false },
  'data-wrong-cluster': { retry: false, deterministic: false },
  'data-wiped': { retry: false, deterministic: false },
  'format-unsupported': { retry: false, deterministic: false },
  'log-released': { retry: false, deterministic: false },
  'log-index-out-of-range': { retry: false, deterministic: false },
  'replica-corrupt': { retry: false, deterministic: false },
  'cluster-version-too-low': { retry: false, deterministic: false },
  // Wire and network.
  'frame-malformed': { retry: false, deterministic: false },
  'frame-too-large': { retry: false, deterministic: false },
  'handshake-refused': { retry: false, deterministic: false },
  'connect-failed': { retry: true, deterministic: false },
  'connection-lost': { retry: true, deterministic: false },
  'address-in-use': { retry: false, deterministic: false },
  'address-invalid': { retry: false, deterministic: false },
  // Configuration.
  'flag-unknown': { retry: false, deterministic: false },
  'flag-unsupported': { retry: false, deterministic: false },
  'flag-invalid': { retry: false, deterministic: false },
} as const

export type ErrorCode = keyof typeof codes

/** An expected failure. Callers test `code`, never the text: the text is written for a human at 3 a.m. */
export class QuorateError extends Error {
  override readonly name = 'QuorateError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }

  /** Whether the same call can succeed later without a change by the caller. */
  get retriable(): boolean {
    return codes[this.code].retry
  }

  /** Whether every replica comes to the same refusal. */
  get deterministic(): boolean {
    return codes[this.code].deterministic
  }
}

/** Whether `error` is an expected failure with one of `wanted`. Without `wanted`: any expected failure. */
export function isQuorateError(error: unknown, ...wanted: ErrorCode[]): error is QuorateError {
  return error instanceof QuorateError && (wanted.length === 0 || wanted.includes(error.code))
}

/** Every code, in the order of the list above, for tables and documents that must be complete. */
export const errorCodes: readonly ErrorCode[] = Object.keys(codes) as ErrorCode[]

/**
 * What a peer did wrong, told to it and to nobody else. It has no stack: whoever sends nonsense without a pause would have one
 * made for each, which takes longer (50 us) than all the rest of the answer.
 */
export class ErrorWithoutStack extends Error {
  constructor(message: string) {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = stackTraceLimit
  }
}
