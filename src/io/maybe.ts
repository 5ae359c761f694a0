/**
 * Named places in the product where something may happen that is rare and legal: a batch is cut early, a message is lost,
 * a queue is full. Each place asks; in production the answer is always no, and the simulator says yes now and then, so
 * that the rest of the product meets there in seconds what otherwise comes once a year.
 *
 * What a place does must be allowed at any moment: no promise may depend on the answer.
 */
export type Maybe = (place: MaybePlace) => boolean

export const maybePlaces = [
  /** Log: the next durable write takes one operation only, whatever else waits. */
  'log-batch-cut',
  /** Log: a new segment begins although the present one has room. */
  'log-roll',
  /** Log: others have their turn before the next durable write. */
  'log-yield',
  /** Log: the commit index is saved behind a batch that did not ask for it. */
  'log-mark',
  /** Log: a read gives the first entry only. */
  'log-read-short',
  /** Store: what was applied is flushed at once. */
  'store-flush',
  /** Store: a flush that is due waits for the next turn. */
  'store-flush-late',
  /** A snapshot is begun although none is due. */
  'snapshot',
  /** A snapshot that a peer asks for is not there any more. */
  'snapshot-gone',
  /** A part of a snapshot is cut short. */
  'snapshot-part-short',
  /** A slice of applying ends after one entry. */
  'apply-slice-short',
  /** Others have their turn before the group has its own. */
  'turn-late',
  /** A message of a peer finds the inbox full. */
  'inbox-full',
  /** A raft message arrives twice. */
  'message-twice',
  /** A message to a peer is lost on the way. */
  'peer-message-lost',
  /** The connection to a peer breaks. */
  'peer-reconnect',
  /** The queue of commands is full. */
  'commands-full',
  /** The queue of reads is full. */
  'reads-full',
  /** A round of reads is given up and asked again. */
  'read-round-lost',
] as const
export type MaybePlace = (typeof maybePlaces)[number]

/** Production. */
export const never: Maybe = () => false
