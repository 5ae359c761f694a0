import { type GrpcError, type GrpcStatus, grpcStatus } from '../grpc/index.ts'
import { ServerRefusal } from './server-seam.ts'

/**
 * What the simulated clients know of the refusals of an etcd server: the text, which clients compare letter by letter,
 * its status, and a word for it. Written down apart from the door's own table, so that the two can differ.
 */
const known: Readonly<Record<string, readonly [keyof typeof grpcStatus, string]>> = {
  'etcdserver: request canceled': ['cancelled', 'cancelled'],
  'etcdserver: request is too large': ['invalidArgument', 'request-too-large'],
  'etcdserver: key not found': ['invalidArgument', 'key-not-found'],
  'etcdserver: duplicate key given in txn request': ['invalidArgument', 'duplicate-key'],
  'etcdserver: mvcc: required revision has been compacted': ['outOfRange', 'revision-compacted'],
  'etcdserver: mvcc: required revision is a future revision': ['outOfRange', 'revision-future'],
  'etcdserver: requested lease not found': ['notFound', 'lease-not-found'],
  'etcdserver: lease already exists': ['failedPrecondition', 'lease-exists'],
  'quorate: session expired': ['failedPrecondition', 'session-expired'],
  'quorate: request number too old': ['outOfRange', 'request-number-too-old'],
  'etcdserver: member not found': ['notFound', 'member-not-found'],
  'etcdserver: Peer URLs already exists': ['failedPrecondition', 'peer-url-exists'],
  'etcdserver: can only promote a learner member': ['failedPrecondition', 'member-not-learner'],
  'etcdserver: can only promote a learner member which is in sync with leader': [
    'failedPrecondition',
    'learner-not-ready',
  ],
  'etcdserver: too many learner members in cluster': ['failedPrecondition', 'too-many-learners'],
  'etcdserver: re-configuration failed due to not enough started members': [
    'failedPrecondition',
    'not-enough-started-members',
  ],
  'etcdserver: unhealthy cluster': ['unavailable', 'cluster-unhealthy'],
  'etcdserver: bad leader transferee': ['failedPrecondition', 'transferee-invalid'],
  'etcdserver: rpc not supported for learner': ['failedPrecondition', 'learner-unsupported'],
  'quorate: another membership change is in progress': ['unavailable', 'change-in-progress'],
  'etcdserver: not leader': ['failedPrecondition', 'not-leader'],
  'etcdserver: leader changed': ['unavailable', 'leader-changed'],
  'etcdserver: no leader': ['unavailable', 'no-leader'],
  'etcdserver: request timed out': ['unavailable', 'timeout'],
  'etcdserver: request timed out, waiting for the applied index took too long': [
    'unavailable',
    'revision-wait-timeout',
  ],
  'etcdserver: request timed out, possibly due to connection lost': ['unavailable', 'connection-lost'],
  'etcdserver: too many requests': ['resourceExhausted', 'overloaded'],
  'etcdserver: server stopped': ['unavailable', 'stopped'],
  'etcdserver: mvcc: database space exceeded': ['resourceExhausted', 'disk-full'],
  'etcdserver: corrupt cluster': ['dataLoss', 'data-damaged'],
  'etcdserver: not capable': ['failedPrecondition', 'cluster-version-too-low'],
}
/** The answer of a numbered request that was done before, when it is no longer kept. */
const doneBefore = /^quorate: done before, at revision \d+ or earlier; its answer was too large to keep$/
const doneBeforeCode = 'done-before'
/** A failure that etcd has no words for. */
const ownWords = /^quorate: /

/** A refusal with a code that begins so is none that a client of etcd could make sense of. */
export const unlistedCode = 'unlisted'

/** A write says of its refusal whether it can have happened; a read never did anything. */
export function refusalOf(error: GrpcError, kind: 'read' | 'write'): ServerRefusal {
  const { message, status } = error
  const word = error.trailers.get('quorate-outcome')
  const outcome = kind === 'read' || word === 'none' ? 'none' : 'unknown'
  const code = codeOf(status, message)
  const isSaid = kind === 'read' || word === 'none' || word === 'unknown' || code === doneBeforeCode
  return new ServerRefusal(isSaid ? code : `${unlistedCode} without an outcome: ${message}`, outcome, message)
}

function codeOf(status: GrpcStatus, text: string): string {
  const row = known[text]
  if (row !== undefined && grpcStatus[row[0]] === status) return row[1]
  if (doneBefore.test(text) && status === grpcStatus.failedPrecondition) return doneBeforeCode
  return row === undefined && ownWords.test(text) ? 'own-words' : `${unlistedCode} ${status} ${text}`
}
