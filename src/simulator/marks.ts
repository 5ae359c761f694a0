import { maybePlaces } from '../io/index.ts'
import { strikes } from './ambush.ts'

/** A rare state that the simulation is meant to reach: a promise kept where it was never at stake proves nothing. */
export interface Mark {
  /** An event name of the servers' logs, or what the cluster counts. */
  readonly name: string
  readonly meaning: string
}

const logMarks: readonly Mark[] = [
  { name: 'log-tail-cut', meaning: 'a start cut a torn tail, and may not vote until enough logs were shown' },
  { name: 'log-truncated', meaning: 'entries that were never committed were cut from a log' },
  { name: 'log-failed', meaning: 'a write or sync of the log failed' },
  { name: 'log-close-incomplete', meaning: 'the log was closed on a full disk' },
  { name: 'segment-spare-failed', meaning: 'the next segment could not be made ahead of time' },
  { name: 'segment-removal-failed', meaning: 'a segment that is not needed could not be removed' },
  { name: 'disk-full', meaning: 'a disk took no more writes' },
  { name: 'disk-has-space', meaning: 'a disk that was full took writes again' },
  { name: 'disk-hung', meaning: 'a disk did not answer while the others had stored what it was to store' },
  { name: 'disk-answers', meaning: 'a disk that did not answer did again' },
  { name: 'write-lost', meaning: 'an acknowledged write never reached the medium' },
  { name: 'write-misdirected', meaning: 'a write landed in another place' },
  { name: 'bits-rotted', meaning: 'a bit flipped in a file at rest' },
  { name: 'damage-noticed', meaning: 'a member refused to go on with damaged files' },
]

const stateMarks: readonly Mark[] = [
  { name: 'snapshot-receiving', meaning: 'a member that fell behind the log was sent a snapshot' },
  { name: 'snapshot-installed', meaning: 'a snapshot took the place of a state while others went on' },
  { name: 'snapshot-receive-failed', meaning: 'a snapshot that came was damaged or found no space' },
  { name: 'snapshot-failed', meaning: 'a snapshot could not be written' },
  { name: 'snapshot-damaged', meaning: 'a snapshot at rest was damaged' },
  { name: 'snapshot-left-over', meaning: 'an unfinished snapshot was found' },
  { name: 'state-rebuild', meaning: 'a start built the state from snapshot and log' },
  { name: 'state-from-snapshot', meaning: 'a start loaded a snapshot' },
  { name: 'state-incomplete', meaning: 'a start found a state that a restore had left half full' },
  { name: 'store-not-marked', meaning: 'an orderly stop could not vouch for the store' },
  { name: 'log-released', meaning: 'the log was released behind a snapshot' },
  { name: 'stopped-in-order', meaning: 'a server ended in order' },
  { name: 'leadership-handed-over', meaning: 'a leader handed over before it stopped' },
  { name: 'leadership-not-handed-over', meaning: 'nobody took over from a leader that stopped' },
]

const groupMarks: readonly Mark[] = [
  { name: 'candidate: was asked to take over', meaning: 'leadership was transferred' },
  {
    name: 'follower: heard no majority for an election timeout',
    meaning: 'a leader without a quorum stepped down',
  },
  { name: 'follower: lost the pre-vote', meaning: 'a pre-vote was lost' },
  {
    name: 'pre-candidate: found its leader down',
    meaning: 'a leader was replaced before an election timeout',
  },
  { name: 'follower: gave its pre-vote to another', meaning: 'of two that could campaign one stood back' },
  // A log that shows itself between the pre-vote and its majority also ends a campaign ('may not vote after a cut tail'):
  // two voters must have shown theirs since the start, and one of them gain an entry within that round. No run of the
  // simulator or of the random schedules met it; a case of the raft room does.
  {
    name: 'follower: heard no leader for an election timeout and may not vote after a cut tail',
    meaning: 'a cut tail forbade a campaign',
  },
  { name: 'candidate: is the only voter', meaning: 'a single voter elected itself' },
  { name: 'joint configuration', meaning: 'two majorities were needed' },
  { name: 'joint configuration left by another leader', meaning: 'a change was finished by a later leader' },
  { name: 'learner-promoted', meaning: 'a learner became a voter' },
  { name: 'disk-wiped', meaning: 'a member lost its disk' },
  { name: 'wiped-refused', meaning: 'a member with a lost disk was refused under its old identity' },
  { name: 'removed-ended', meaning: 'a removed member ended by itself' },
  { name: 'upgraded', meaning: 'a member was started as a newer build' },
  { name: 'cluster version raised', meaning: 'all members understood a newer command version' },
  { name: 'old-copy-started', meaning: 'a member was started from an old copy of its disk' },
  { name: 'left out: dead', meaning: 'a majority went on without a member that stayed down' },
  { name: 'left out: paused', meaning: 'a majority went on without a member that stood still' },
  { name: 'left out: cut off', meaning: 'a majority went on without a member that nobody reached' },
  { name: 'left out: hung', meaning: 'a majority went on without a member whose disk never answered' },
]

const clientMarks: readonly Mark[] = [
  { name: 'lease-checkpoint', meaning: 'a leader wrote down what is left of a lease' },
  { name: 'lease-expired', meaning: 'a leader ended a lease that nobody renewed' },
  { name: 'session-asked-again', meaning: 'a numbered request was answered from the memory of its session' },
  { name: 'watch-compacted', meaning: 'a watch learned that its past was compacted' },
  { name: 'watch-progress', meaning: 'a watch heard how far it is while it had nothing to tell' },
  { name: 'watch-progress-of-all', meaning: 'all watches of a stream were marked at once' },
  { name: 'watch-fragment', meaning: 'a revision was told in parts' },
  { name: 'watch-from-the-past', meaning: 'a watch was told what happened before it began' },
  { name: 'watch-from-the-future', meaning: 'a watch waited for its first revision' },
  { name: 'refused: learner-unsupported', meaning: 'a learner refused what it does not serve' },
  { name: 'refused: lease-not-found', meaning: 'a lease had ended under its owner' },
  { name: 'refused: key-not-found', meaning: 'a write was to keep what is not there' },
  { name: 'refused: revision-compacted', meaning: 'a read asked for a revision that was gone' },
  { name: 'refused: request-too-large', meaning: 'a write was larger than the door allows' },
  { name: 'refused: overloaded', meaning: 'a full queue refused a call' },
  { name: 'refused: disk-full', meaning: 'a full disk refused a write' },
]

/** What long simulations must reach; a report names those that none of its seeds did. */
export const marks: readonly Mark[] = [
  ...logMarks,
  ...stateMarks,
  ...groupMarks,
  ...clientMarks,
  ...strikes.map((strike) => ({
    name: `ambush: ${strike}`,
    meaning: `it came in a moment of consensus: ${strike}`,
  })),
  ...maybePlaces.map((place) => ({ name: `maybe ${place}`, meaning: `the product was told to: ${place}` })),
]

/** Those of the list that are not in `reached`. */
export function marksNotReached(reached: ReadonlyMap<string, number>): Mark[] {
  return marks.filter(({ name }) => !reached.has(name))
}
