/**
 * write-ahead-log: what a node has promised not to forget: the entries of all its groups, and their terms and votes.
 * Nothing is acknowledged before it is here.
 *
 * Words. The *journal* is one sequence of *records* for all groups of a node, in segments (see segmented-log). A
 * record is an *entry* or says that a group's log was *cut* (truncate), *released* up to a new base, or *reset* by a
 * snapshot. A *batch* is what one durable write holds. A *mark* is a place in the journal before which everything was
 * durable when the mark was written; every record and every saved hard state carries one. *Rot* is damage to what was
 * durable; a *tail* is what a crash left of a batch that may never have been durable. An *extent* is a stretch of a
 * segment that holds entries of one group: the index in memory, one for about every 64 KiB.
 *
 * Invariants:
 * 1. A write resolves when its hard state and its records are durable, in the order of the calls. New terms and votes
 *    are durable before the entries that came with them; a commit index alone may be saved later, and what is saved
 *    never counts on entries that are not durable with it.
 * 2. One batch is on its way at a time, in one segment, as one write. So everything before the batch of a valid record
 *    was durable, and at most the last batch of the newest segment can be in doubt.
 * 3. A group's log is what replaying the records in order gives. A cut is a record, so no crash brings back what was
 *    cut: the journal shows it before or after, whatever segment it was in.
 * 4. The first record r that is not valid is rot when a mark of a later record of the segment, or of a hard state, lies
 *    behind the start of r; when r is in a closed segment; or when a segment is missing. Then the open is refused with
 *    `data-damaged`. Otherwise r begins a tail: it is cut there, with what is valid behind it, and every group has a
 *    `cutEnd` that no index that stood there exceeds. It is durable before the cut, and kept until the commit index
 *    passes it.
 * 5. After the open nothing in doubt is left: the last batch was written again, the tail zeroed, hard states saved.
 * 6. A full disk refuses a write and all that waits behind it, and changes nothing: the bytes it may have left are
 *    zeroed before the next batch. Any other error ends the log; nothing is ever retried.
 * 7. Checksums are verified on every read: header, payload, and on recovery the chain of each group.
 * 8. A segment goes only when the bases of all groups have passed every entry in it and the releases are durable. The
 *    table of groups at the front of each segment makes the segments before it unnecessary.
 *
 * The mark is a position and not an index of the group: an index of one group says nothing about the neighbour's
 * record in the same batch, and would have to be lowered before each cut; a position speaks for all groups and all
 * kinds of records. The length of the batch stands beside it, so that the first surviving record tells what is missing.
 *
 * Sources: Joshi, Patterns of Distributed Systems (Write-Ahead Log, Segmented Log, Low-Water Mark); etcd's wal
 * package; Alagappan et al., Protocol-Aware Recovery for Consensus-Based Storage (FAST 2018); Rebello et al., Can
 * Applications Recover from fsync Failures? (ATC 2020). Formats: docs/formats/log-segment.md, hard-state.md.
 * Left out: repair of rot from peers (the node replaces the member), a background scrubber, and compression.
 */
export type { LogGauges, LogWrite, RecoveredGroup, WriteAheadLog, WriteAheadLogOptions } from './contract.ts'
export { openWriteAheadLog } from './write-ahead-log.ts'
