import { type ErrorCode, formatId, type NodeId, noNode, QuorateError } from '../base/index.ts'

// The refusals that more than one part of a group gives: one code, one text.

export const stateLostText = 'the state of this member is thrown away, and the leader is asked for another'

export function stoppedError(): QuorateError {
  return new QuorateError('stopped', 'this node is stopped')
}

/** Only the leader could do it, and that is not this node. `leader`: who is, as far as is known here. */
export function notLeaderError(leader: NodeId): QuorateError {
  const where = leader === noNode ? 'none is known' : `${formatId(leader)} leads`
  return new QuorateError('not-leader', `this node is not the leader: ${where}`)
}

/** The request was begun, and what ended the wait for its end is `cause`. */
export function unknownOutcome(cause: QuorateError): QuorateError {
  return new QuorateError('outcome-unknown', `begun, and its end was not seen: ${cause.message}`, { cause })
}

/** This replica must not go on: the data that it holds is wrong, or may be. */
export function corruptError(text: string): QuorateError {
  return new QuorateError('replica-corrupt', `CORRUPT: ${text}`)
}

export function refusalText(code: ErrorCode): string {
  if (code === 'no-leader') return 'there is no leader now, or it cannot be reached'
  if (code === 'overloaded') return 'the leader has as many commands under way as it may'
  return `refused: ${code}`
}
