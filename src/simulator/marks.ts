/** A rare state that the simulation is meant to reach: a promise kept where it was never at stake proves nothing. */
export interface Mark {
  /** An event name of the servers' logs, or what the cluster counts. */
  readonly name: string
  readonly meaning: string
}

/** What long simulations must reach; a report names those that none of its seeds did. One line each. */
export const marks: readonly Mark[] = [
  { name: 'bits-rotted', meaning: 'a bit of a file was flipped' },
  { name: 'rot-noticed', meaning: 'a server refused damaged files and was not started again' },
  { name: 'disk-full', meaning: 'a disk ran full under a server' },
  { name: 'disk-has-space', meaning: 'a full disk had space again while its server went on' },
  { name: 'disk-wiped', meaning: 'a member lost its disk' },
  {
    name: 'wiped-refused',
    meaning: 'a wiped member was told that it may not come back under its old identity',
  },
  { name: 'leadership-handed-over', meaning: 'a leader with a full disk gave its leadership away' },
  { name: 'log-tail-cut', meaning: 'a torn or never synced tail of the log was cut at the start' },
  { name: 'log-truncated', meaning: 'a follower cut entries that a new leader does not have' },
  { name: 'log-released', meaning: 'the log was released behind a snapshot' },
  { name: 'logs-differ', meaning: 'a replica found that its log is not that of the leader' },
  { name: 'members-changed', meaning: 'a change of members was applied' },
  { name: 'removed-ended', meaning: 'a removed member ended by itself' },
  { name: 'node-failed', meaning: 'a server stopped itself' },
  { name: 'peer-lost', meaning: 'a connection between members was lost' },
  { name: 'peer-refused', meaning: 'a member refused the connection of another' },
  { name: 'snapshot-installed', meaning: 'a replica was brought up to date by a snapshot' },
  { name: 'snapshot-receive-failed', meaning: 'the transfer of a snapshot broke off' },
  { name: 'snapshot-failed', meaning: 'a snapshot could not be written' },
  { name: 'snapshot-damaged', meaning: 'a damaged snapshot was found' },
  { name: 'snapshot-left-over', meaning: 'an unfinished snapshot was found at the start' },
  { name: 'state-from-snapshot', meaning: 'a lost state was built from an own snapshot' },
  { name: 'state-missing', meaning: 'a state was behind what log and snapshots hold' },
  { name: 'state-rebuild', meaning: 'a state was thrown away and built anew' },
  { name: 'store-damaged', meaning: 'a damaged store was thrown away' },
]

/** Those of the list that are not in `reached`. */
export function marksNotReached(reached: ReadonlyMap<string, number>): Mark[] {
  return marks.filter(({ name }) => !reached.has(name))
}
