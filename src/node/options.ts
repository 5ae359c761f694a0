/** The knobs of a group with their defaults; every queue has its bound here. */
export interface GroupLimits {
  /** Milliseconds of one tick; a heartbeat a tick. */
  readonly tickMs: number
  readonly electionTicks: number
  /** Commands waiting to be proposed. Full: `overloaded`. */
  readonly updateQueueMax: number
  /** Commands proposed and not answered. Full: `overloaded`. */
  readonly waitingMax: number
  readonly readersMax: number
  /** Messages of peers that wait for their turn. Full: dropped, raft repeats them. */
  readonly inboxMax: number
  readonly questionsMax: number
  readonly commandBytesMax: number
  readonly appendBytesMax: number
  readonly inflightMax: number
  readonly windowBytesMax: number
  readonly uncommittedBytesMax: number
  /** The store is written after so many operations, bytes or milliseconds. */
  readonly flushOperations: number
  readonly flushBytes: number
  readonly flushIntervalMs: number
  /** Applying waits while so many operations or bytes are not durable in the store. */
  readonly pendingOperationsMax: number
  readonly pendingBytesMax: number
  /** A snapshot is written after so many entries, if the log since the last has also reached its size below. */
  readonly snapshotCount: number
  /** Bytes that the log since the last snapshot must have, however small the last snapshot is. */
  readonly snapshotLogBytesMin: number
  /** Size of the log since the last snapshot, in sizes of that snapshot; decision 24 says what it bounds. */
  readonly snapshotLogShare: number
  readonly learnersMax: number
}

export const defaultGroupLimits: GroupLimits = {
  tickMs: 100,
  electionTicks: 10,
  updateQueueMax: 16_384,
  waitingMax: 65_536,
  readersMax: 65_536,
  inboxMax: 16_384,
  questionsMax: 16_384,
  commandBytesMax: 8 * 1024 * 1024,
  appendBytesMax: 1024 * 1024,
  inflightMax: 64,
  windowBytesMax: 32 * 1024 * 1024,
  uncommittedBytesMax: 128 * 1024 * 1024,
  flushOperations: 4_000,
  flushBytes: 16 * 1024 * 1024,
  flushIntervalMs: 100,
  pendingOperationsMax: 200_000,
  pendingBytesMax: 256 * 1024 * 1024,
  snapshotCount: 10_000,
  snapshotLogBytesMin: 64 * 1024 * 1024,
  snapshotLogShare: 1,
  learnersMax: 1,
}

/** What says when the store is written. */
export type FlushLimits = Pick<GroupLimits, 'flushOperations' | 'flushBytes'>
