import type { ServerStatus } from './status.ts'

/**
 * The text of /metrics in Prometheus' format 0.0.4. Names of etcd where the meaning is etcd's, so that dashboards work;
 * `quorate_` where there is no such thing.
 */
export function metricsText(status: ServerStatus): string {
  const { group, log, store, core, memory, loopLagMs } = status
  const lines: string[] = []
  const add = (name: string, type: 'gauge' | 'counter', help: string, value: number): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, `${name} ${value}`)
  }
  add('etcd_server_has_leader', 'gauge', 'Whether a leader is known.', group.leader === 0n ? 0 : 1)
  add('etcd_server_is_leader', 'gauge', 'Whether this member leads.', group.role === 'leader' ? 1 : 0)
  add('etcd_server_is_learner', 'gauge', 'Whether this member is a learner.', group.isLearner ? 1 : 0)
  add('etcd_server_proposals_committed_total', 'gauge', 'Commit index of this member.', group.commitIndex)
  add('etcd_server_proposals_applied_total', 'gauge', 'Applied index of this member.', group.appliedIndex)
  add(
    'etcd_server_proposals_pending',
    'gauge',
    'Commands that wait for an answer.',
    group.queues.waiting?.size ?? 0,
  )
  add('etcd_debugging_mvcc_current_revision', 'gauge', 'Revision of the store.', core.revision)
  add(
    'etcd_debugging_mvcc_compact_revision',
    'gauge',
    'Revision of the last compaction.',
    core.compactRevision,
  )
  add('etcd_debugging_mvcc_watcher_total', 'gauge', 'Watchers.', core.watchers)
  add('etcd_debugging_mvcc_watch_stream_total', 'gauge', 'Watch streams.', core.watchStreams)
  add('etcd_mvcc_db_total_size_in_bytes', 'gauge', 'Size of the store with free pages.', store.total)
  add('etcd_mvcc_db_total_size_in_use_in_bytes', 'gauge', 'Size of the store without free pages.', store.used)
  add('etcd_disk_wal_fsync_count', 'counter', 'Durable writes of the log.', log.durableWrites)
  add('process_resident_memory_bytes', 'gauge', 'Resident memory.', memory.residentBytes)
  add('quorate_term', 'gauge', 'Term.', group.term)
  add('quorate_wal_bytes', 'gauge', 'Bytes of the write-ahead log.', log.bytes)
  add('quorate_wal_segments', 'gauge', 'Segments of the write-ahead log.', log.segments)
  add('quorate_wal_records_total', 'counter', 'Records written to the log.', log.recordsWritten)
  add(
    'quorate_wal_last_write_seconds',
    'gauge',
    'Duration of the last durable write.',
    log.lastWriteMs / 1_000,
  )
  add('quorate_low_water_mark', 'gauge', 'Entries up to here are only in snapshots.', group.lowWaterMark)
  add(
    'quorate_durable_applied_index',
    'gauge',
    'Applied index that the store holds durably.',
    group.durableAppliedIndex,
  )
  add('quorate_leases', 'gauge', 'Leases.', core.leases)
  add('quorate_sessions', 'gauge', 'Sessions.', core.sessions)
  add('quorate_range_cache_bytes', 'gauge', 'Answers of large ranges kept ready.', core.rangeCacheBytes)
  add(
    'quorate_loop_lag_seconds_max',
    'gauge',
    'Longest event loop lag since the last look.',
    loopLagMs.max / 1_000,
  )
  lines.push('# HELP quorate_queue_size Entries of a queue.', '# TYPE quorate_queue_size gauge')
  for (const [name, queue] of Object.entries(group.queues))
    lines.push(`quorate_queue_size{queue="${name}"} ${queue.size}`)
  lines.push('# HELP quorate_queue_bound Bound of a queue.', '# TYPE quorate_queue_bound gauge')
  for (const [name, queue] of Object.entries(group.queues)) {
    lines.push(`quorate_queue_bound{queue="${name}"} ${queue.bound}`)
  }
  return `${lines.join('\n')}\n`
}
