import { LeaseDeadlines, type LeaseTable } from '../lease/index.ts'
import { decodeCommand, encodeCommand } from './command-codec.ts'
import type { LeaderDuties } from './contract.ts'

/** Revokes a second at most: a mass expiry must not drown the writes of the living. etcd has 1,000. */
const revokesPerSecondMax = 3000
/** Leases that run longer have what is left of them written to the log this often. */
const defaultCheckpointIntervalMs = 5 * 60 * 1000

export function createDeadlines(
  table: LeaseTable,
  checkpointIntervalMs: number = defaultCheckpointIntervalMs,
): LeaseDeadlines {
  return new LeaseDeadlines({ table, revokesPerSecondMax, checkpointIntervalMs })
}

/** The leader's duties as commands to propose. */
export function createLeaderDuties(deadlines: LeaseDeadlines): LeaderDuties {
  return {
    start: (nowMs) => deadlines.start(nowMs),
    stop: () => deadlines.stop(),
    suspend: () => deadlines.suspend(),
    tick(nowMs) {
      const { revokes, checkpoints } = deadlines.take(nowMs)
      const commands = revokes.map((id) =>
        encodeCommand({ session: undefined, write: { kind: 'leaseRevoke', id, expired: true } }),
      )
      if (checkpoints.length > 0) {
        commands.push(
          encodeCommand({ session: undefined, write: { kind: 'leaseCheckpoint', leases: checkpoints } }),
        )
      }
      return commands
    },
    refused(command) {
      const { write } = decodeCommand(command)
      if (write.kind === 'leaseRevoke') deadlines.revokeRefused(write.id)
      if (write.kind !== 'leaseCheckpoint') return
      for (const { id } of write.leases) deadlines.checkpointRefused(id)
    },
  }
}
