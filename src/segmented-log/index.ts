/**
 * segmented-log: one endless sequence of bytes, kept in files of a bounded size, so that its old part can be dropped
 * and its end be found. It knows files, their order and their durability, and nothing of what is inside.
 *
 * Words. A *segment* is one file, `<sequence, 16 hex digits>.wal`. Its *header* names cluster, node and sequence and
 * carries a *preamble* of the owner. Its *content* follows: [start, end). The *newest* segment takes the appends; all
 * others are *closed*. To *roll* is to close the newest and start the next. A *spare* is the next file, made ahead.
 *
 * Invariants:
 * 1. A segment that has its name has a durable header, its full size in zeros, and a durable name, before the first
 *    append to it. A crash while it is made leaves `next-segment.tmp`, which the next open removes.
 * 2. Appends are one at a time, and a roll begins after the last one is durable. So all of a closed segment is
 *    durable, and damage in it is never the trace of a crash.
 * 3. A header states checksum and end of the segment before. A cut, exchanged, missing or foreign file is noticed.
 * 4. The sequence numbers on disk have no gap: segments go away oldest first, each removal durable before the next.
 * 5. Bytes behind the end of the newest segment are zero before an append is acknowledged there.
 * 6. Open descriptors: the newest segment, one spare, and what readers hold for the length of one read.
 *
 * A segment is never written twice, except for the same bytes again (`settle`) and for what a full disk refused. That is
 * why no generation number is kept: the checksum of the header, which no other segment has, identifies the content.
 *
 * Sources: Joshi, Patterns of Distributed Systems (Segmented Log, Low-Water Mark); the preallocated files and the
 * spare of etcd's wal package; docs/formats/log-segment.md is the format.
 * Left out: time- and size-based retention (an owner's decision), and compaction (there are no keys here).
 */
export { damaged } from './damage.ts'
export {
  openSegmentedLog,
  type Segment,
  type SegmentedLog,
  type SegmentedLogOptions,
} from './segmented-log.ts'
