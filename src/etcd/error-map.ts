import { type ErrorCode, QuorateError } from '../base/index.ts'
import { GrpcError, type GrpcStatus, grpcStatus } from '../grpc/index.ts'

/** After a refused write: `none`, nothing happened and nothing will; `unknown`, it may have or still may. */
type Outcome = 'none' | 'unknown'
interface Answer {
  readonly status: GrpcStatus
  /** etcd's text, compared by clients letter by letter; undefined: the error's own. */
  readonly text: string | undefined
  readonly outcome: Outcome
}

function none(status: keyof typeof grpcStatus, text?: string): Answer {
  return { status: grpcStatus[status], text, outcome: 'none' }
}
function unknown(status: keyof typeof grpcStatus, text?: string): Answer {
  return { status: grpcStatus[status], text, outcome: 'unknown' }
}

/**
 * Every code to what an etcd client sees. Where a code has no counterpart the text begins with "quorate: ".
 * Source: etcd api/v3rpc/rpctypes/error.go (3.6).
 */
const answers = {
  'invalid-argument': none('invalidArgument'),
  unimplemented: none('unimplemented'),
  cancelled: none('cancelled', 'etcdserver: request canceled'),
  'request-too-large': none('invalidArgument', 'etcdserver: request is too large'),
  'key-empty': none('invalidArgument', 'etcdserver: key is not provided'),
  'key-not-found': none('invalidArgument', 'etcdserver: key not found'),
  'value-provided': none('invalidArgument', 'etcdserver: value is provided'),
  'lease-provided': none('invalidArgument', 'etcdserver: lease is provided'),
  'too-many-operations': none('invalidArgument', 'etcdserver: too many operations in txn request'),
  'duplicate-key': none('invalidArgument', 'etcdserver: duplicate key given in txn request'),
  'sort-option-invalid': none('invalidArgument', 'etcdserver: invalid sort option'),
  'revision-compacted': none('outOfRange', 'etcdserver: mvcc: required revision has been compacted'),
  'revision-future': none('outOfRange', 'etcdserver: mvcc: required revision is a future revision'),
  'lease-not-found': none('notFound', 'etcdserver: requested lease not found'),
  'lease-exists': none('failedPrecondition', 'etcdserver: lease already exists'),
  'lease-ttl-too-large': none('outOfRange', 'etcdserver: too large lease TTL'),
  // Whoever comes again with a number asks what became of it, and nobody knows that any more.
  'session-expired': unknown('failedPrecondition', 'quorate: session expired'),
  'request-number-too-old': unknown('outOfRange', 'quorate: request number too old'),

  'member-not-found': none('notFound', 'etcdserver: member not found'),
  'member-exists': none('failedPrecondition', 'etcdserver: member ID already exist'),
  'peer-url-exists': none('failedPrecondition', 'etcdserver: Peer URLs already exists'),
  'member-urls-invalid': none('invalidArgument', 'etcdserver: given member URLs are invalid'),
  'member-not-learner': none('failedPrecondition', 'etcdserver: can only promote a learner member'),
  'learner-not-ready': none(
    'failedPrecondition',
    'etcdserver: can only promote a learner member which is in sync with leader',
  ),
  'too-many-learners': none('failedPrecondition', 'etcdserver: too many learner members in cluster'),
  'not-enough-started-members': none(
    'failedPrecondition',
    'etcdserver: re-configuration failed due to not enough started members',
  ),
  'cluster-unhealthy': none('unavailable', 'etcdserver: unhealthy cluster'),
  'transferee-invalid': none('failedPrecondition', 'etcdserver: bad leader transferee'),
  'learner-unsupported': none('failedPrecondition', 'etcdserver: rpc not supported for learner'),
  'change-in-progress': none('unavailable', 'quorate: another membership change is in progress'),

  // etcd's "not leader" is MoveLeader's alone; everywhere else the leadership went away under the request.
  'not-leader': none('unavailable', 'etcdserver: leader changed'),
  'no-leader': none('unavailable', 'etcdserver: no leader'),
  'leader-changed': unknown('unavailable', 'etcdserver: leader changed'),
  'outcome-unknown': unknown('unavailable', 'etcdserver: request timed out'),
  timeout: unknown('unavailable', 'etcdserver: request timed out'),
  'revision-wait-timeout': none(
    'unavailable',
    'etcdserver: request timed out, waiting for the applied index took too long',
  ),
  overloaded: none('resourceExhausted', 'etcdserver: too many requests'),
  stopped: none('unavailable', 'etcdserver: server stopped'),

  'disk-failed': unknown('unavailable', 'etcdserver: server stopped'),
  'disk-full': none('resourceExhausted', 'etcdserver: mvcc: database space exceeded'),
  'file-not-found': none('unknown'),
  'file-exists': none('unknown'),
  'data-damaged': unknown('dataLoss', 'etcdserver: corrupt cluster'),
  'data-locked': none('unknown'),
  'data-wrong-cluster': none('failedPrecondition', 'etcdserver: cluster ID mismatch'),
  'data-wiped': none('unknown'),
  'format-unsupported': unknown('unknown'),
  'log-released': unknown('unknown'),
  'log-index-out-of-range': unknown('unknown'),
  'replica-corrupt': unknown('dataLoss', 'etcdserver: corrupt cluster'),
  'cluster-version-too-low': none('failedPrecondition', 'etcdserver: not capable'),

  'frame-malformed': none('internal'),
  'frame-too-large': none('resourceExhausted'),
  'handshake-refused': none('unavailable'),
  'connect-failed': none('unavailable'),
  'connection-lost': unknown('unavailable', 'etcdserver: request timed out, possibly due to connection lost'),
  'address-in-use': none('unknown'),
  'address-invalid': none('unknown'),

  'flag-unknown': none('unknown'),
  'flag-unsupported': none('unknown'),
  'flag-invalid': none('unknown'),
} as const satisfies Record<ErrorCode, Answer>

const detailLengthMax = 256

/**
 * The refusal a client sees. The facts that etcd's fixed texts leave out (limits, revisions, ids) travel in the
 * trailer `quorate-detail`; a write also says in `quorate-outcome` whether it can have happened.
 * What is no expected failure is thrown on. Bytes that are no message are told in grpc-go's words.
 */
export function toGrpcError(
  error: unknown,
  kind: 'read' | 'write',
  malformedText = 'grpc: error unmarshalling request',
): GrpcError {
  if (error instanceof GrpcError) return error
  if (!(error instanceof QuorateError)) throw error
  const answer: Answer = answers[error.code]
  const trailers = new Map<string, string>()
  if (kind === 'write') trailers.set('quorate-outcome', answer.outcome)
  if (error.code === 'frame-malformed') {
    return new GrpcError(answer.status, `${malformedText}: ${error.message}`, trailers)
  }
  if (answer.text === undefined) return new GrpcError(answer.status, `quorate: ${error.message}`, trailers)
  if (error.message !== '') trailers.set('quorate-detail', headerText(error.message))
  return new GrpcError(answer.status, answer.text, trailers)
}

/** Printable ASCII of a bounded length: all that may stand in a trailer. */
function headerText(text: string): string {
  return text.slice(0, detailLengthMax).replace(/[^\x20-\x7e]/g, '?')
}
