import { compareBytes, crc32c, type ErrorCode, present, unreachable, utf8Encode } from '../base/index.ts'
import type { LeaseDeadlines, LeaseRecord, LeaseTable } from '../lease/index.ts'
import type {
  Applied,
  Command,
  LeaseCheckpointCommand,
  LeaseGrantCommand,
  LeaseRevokeCommand,
  SessionStamp,
  TransactionOperation,
  WriteCommand,
} from './contract.ts'
import { chainCounter, chainDigest } from './digest.ts'
import type { KeySpace } from './key-space.ts'
import { attachmentPrefix, encodeLease, leaseKey } from './lease-rows.ts'
import { checkOperation, noOperationLimits, refuse } from './operation-check.ts'
import type { Sessions } from './sessions.ts'
import { prefixRange } from './tables.ts'
import {
  choosePath,
  currentView,
  executeDelete,
  executePut,
  executeTransaction,
  validatePath,
  validatePut,
} from './transaction.ts'
import { runThrough } from './view.ts'

type Result = Applied['result']

/** What etcd allows; larger ones are refused by name. */
export const leaseTtlSecondsMax = 9_000_000_000

export interface ApplierParts {
  readonly keys: KeySpace
  readonly leases: LeaseTable
  readonly deadlines: LeaseDeadlines
  readonly sessions: Sessions
  readonly leaseTtlSecondsMin: number
}

const done: Result = { kind: 'done' }

/**
 * What each command does to the state. Refusals are answers: they are found before anything is written, are the same
 * on every replica, and change nothing.
 */
export class Applier {
  readonly #parts: ApplierParts

  constructor(parts: ApplierParts) {
    this.#parts = parts
  }

  apply(command: Command): Applied {
    const answer =
      command.session === undefined
        ? this.#perform(command.write)
        : this.#once(command.session, command.write)
    this.#chain(hashOfResult(answer.result))
    return answer
  }

  /** The idempotent receiver: a request of a session is done once, and a retry gets the answer that was kept. */
  #once(stamp: SessionStamp, write: WriteCommand): Applied {
    const { keys, leases, sessions } = this.#parts
    if (!leases.has(stamp.session)) {
      const result = refuse('session-expired', 'the lease of the session does not exist')
      return { revision: keys.revision, result }
    }
    const before = sessions.before(stamp)
    if (before !== undefined) {
      return 'kind' in before ? { revision: keys.revision, result: before } : before
    }
    const answer = this.#perform(write)
    // A session that revoked its own lease has nobody to keep an answer for.
    if (leases.has(stamp.session)) this.#chain(sessions.keep(stamp, answer))
    return answer
  }

  #perform(write: WriteCommand): Applied {
    const { keys } = this.#parts
    const result = this.#execute(write)
    keys.commit()
    return { revision: keys.revision, result }
  }

  #execute(write: WriteCommand): Result {
    const { keys, leases } = this.#parts
    switch (write.kind) {
      case 'put':
        return (
          checkOperation(write, noOperationLimits) ??
          validatePut(keys, leases, write) ??
          executePut(keys, write)
        )
      case 'deleteRange':
        return checkOperation(write, noOperationLimits) ?? executeDelete(keys, write)
      case 'transaction':
        return checkOperation(write, noOperationLimits) ?? this.#transaction(write)
      case 'compact':
        return this.#compact(write.revision)
      case 'leaseGrant':
        return this.#grant(write)
      case 'leaseRevoke':
        return this.#revoke(write)
      case 'leaseCheckpoint':
        return this.#checkpoint(write)
      default:
        return unreachable(write, 'a command has a kind')
    }
  }

  #transaction(transaction: TransactionOperation): Result {
    const { keys, leases } = this.#parts
    const path = runThrough(choosePath(currentView(keys), transaction))
    return validatePath(keys, leases, transaction, path) ?? executeTransaction(keys, transaction, path)
  }

  /** Ends what readers may ask for; giving the room back is left to each replica. */
  #compact(revision: number): Result {
    const { keys } = this.#parts
    if (revision <= keys.compactRevision) {
      return refuse('revision-compacted', `revision ${revision} is not above ${keys.compactRevision}`)
    }
    if (revision > keys.revision) {
      return refuse('revision-future', `revision ${revision} is ahead of the newest, ${keys.revision}`)
    }
    keys.compactRevision = revision
    keys.digest = chainCounter(keys.digest, revision)
    return done
  }

  // ---- leases ----------------------------------------------------------------------------------------------------

  #grant(command: LeaseGrantCommand): Result {
    const { leases, deadlines, keys, leaseTtlSecondsMin } = this.#parts
    const { id } = command
    if (id === 0n) return refuse('invalid-argument', 'lease 0 is none')
    if (command.ttlSeconds > leaseTtlSecondsMax) {
      return refuse(
        'lease-ttl-too-large',
        `a lease of ${command.ttlSeconds} seconds, allowed are ${leaseTtlSecondsMax}`,
      )
    }
    if (leases.has(id)) return refuse('lease-exists', 'a lease with this id exists')
    const ttlSeconds = Math.max(command.ttlSeconds, leaseTtlSecondsMin)
    const lease: LeaseRecord = { id, ttlSeconds, remainingSeconds: 0 }
    leases.add(lease)
    this.#chain(keys.tables.put('leases', leaseKey(id), encodeLease(lease), undefined))
    deadlines.granted(lease)
    return { kind: 'leaseGrant', id, ttlSeconds }
  }

  /** The lease, its keys in their order, and what was kept for its session: all in one revision. */
  #revoke(command: LeaseRevokeCommand): Result {
    const { leases, deadlines, keys, sessions } = this.#parts
    const { id } = command
    if (!leases.has(id)) return refuse('lease-not-found', 'no lease with this id exists')
    for (const key of this.attachedKeys(id).sort(compareBytes)) keys.delete(key)
    this.#chain(Number(id & 0xffff_ffffn))
    keys.tables.deletePresent('leases', leaseKey(id))
    leases.remove(id)
    deadlines.removed(id)
    sessions.remove(id)
    return done
  }

  attachedKeys(id: bigint): Uint8Array[] {
    const found: Uint8Array[] = []
    for (const { value } of this.#parts.keys.tables.range('leases', prefixRange(attachmentPrefix(id)))) {
      found.push(value)
    }
    return found
  }

  /** Leases that ended in the meantime are passed over. */
  #checkpoint(command: LeaseCheckpointCommand): Result {
    const { leases, deadlines, keys } = this.#parts
    for (const { id, remainingSeconds } of command.leases) {
      const old = leases.get(id)
      if (old === undefined) continue
      const lease = { ...old, remainingSeconds: Math.min(remainingSeconds, old.ttlSeconds) }
      leases.replace(lease)
      deadlines.checkpointed(lease)
      const key = leaseKey(id)
      const row = present(keys.tables.get('leases', key), 'a lease has a row')
      this.#chain(keys.tables.put('leases', key, encodeLease(lease), row))
    }
    return done
  }

  #chain(part: number): void {
    const { keys } = this.#parts
    keys.digest = chainDigest(keys.digest, part)
  }
}

const codeHashes = new Map<ErrorCode, number>()

/** Replicas that refuse for different reasons differ, though neither changed anything. */
function hashOfResult(result: Result): number {
  if (result.kind !== 'refused') return result.kind.length
  let hash = codeHashes.get(result.code)
  if (hash === undefined) {
    hash = crc32c(utf8Encode(result.code))
    codeHashes.set(result.code, hash)
  }
  return hash
}
