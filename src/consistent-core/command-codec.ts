import { ByteReader, ByteWriter, QuorateError, Slab, unreachable } from '../base/index.ts'
import type {
  Command,
  Compare,
  CompareResult,
  CompareTarget,
  Operation,
  SessionStamp,
  SortOrder,
  SortTarget,
  TransactionOperation,
  WriteCommand,
} from './contract.ts'

/**
 * Commands as bytes in the log; docs/formats/command.md has every byte.
 *   command   = u8 version(1) | u8 kind | u8 flags(1: session) | [session] | body of the kind
 *   session   = u64 id | varint request | varint answered below
 *   operation = u8 kind | body of the kind
 */
export const commandVersion = 1
/** Deeper nesting than this is refused where the request comes in. */
export const transactionDepthMax = 128

const kindCode = {
  put: 1,
  deleteRange: 2,
  transaction: 3,
  range: 4,
  compact: 5,
  leaseGrant: 6,
  leaseRevoke: 7,
  leaseCheckpoint: 8,
} as const

const sortOrders: readonly SortOrder[] = ['none', 'ascend', 'descend']
const sortTargets: readonly SortTarget[] = ['key', 'version', 'create', 'mod', 'value']
const compareTargets: readonly CompareTarget[] = ['version', 'create', 'mod', 'value', 'lease']
const compareResults: readonly CompareResult[] = ['equal', 'greater', 'less', 'notEqual']

const hasSession = 1
const putFlags = { previous: 1, ignoreValue: 2, ignoreLease: 4, lease: 8 } as const
const deleteFlags = { previous: 1 } as const
const rangeFlags = { keysOnly: 1, countOnly: 2 } as const

// ---- encode -------------------------------------------------------------------------------------------------------

/** Everything of a put but its key and value, with room to spare. */
const putHeadBytes = 48
const usualBytes = 128
/** A command is copied into its entry soon after it was made, and let go. */
const slab = new Slab()

export function encodeCommand(command: Command): Uint8Array {
  const writer = new ByteWriter(slab.take(expectedBytes(command.write)))
  const { session, write } = command
  writer.u8(commandVersion)
  writer.u8(kindCode[write.kind])
  writer.u8(session === undefined ? 0 : hasSession)
  if (session !== undefined) {
    writer.u64(session.session)
    writer.varint(session.request)
    writer.varint(session.answeredBelow)
  }
  encodeWrite(writer, write)
  return writer.view()
}

function expectedBytes(write: WriteCommand): number {
  return write.kind === 'put' ? putHeadBytes + write.key.length + write.value.length : usualBytes
}

function encodeWrite(writer: ByteWriter, write: WriteCommand): void {
  switch (write.kind) {
    case 'put':
    case 'deleteRange':
    case 'transaction':
      encodeOperationBody(writer, write)
      return
    case 'compact':
      writeSigned(writer, write.revision)
      return
    case 'leaseGrant':
      writer.u64(write.id)
      writeSigned(writer, write.ttlSeconds)
      return
    case 'leaseRevoke':
      writer.u64(write.id)
      writer.u8(write.expired ? 1 : 0)
      return
    case 'leaseCheckpoint':
      writer.varint(write.leases.length)
      for (const lease of write.leases) {
        writer.u64(lease.id)
        writer.varint(lease.remainingSeconds)
      }
      return
    default:
      unreachable(write, 'a command has a kind')
  }
}

function encodeOperation(writer: ByteWriter, operation: Operation): void {
  writer.u8(kindCode[operation.kind])
  encodeOperationBody(writer, operation)
}

function encodeOperationBody(writer: ByteWriter, operation: Operation): void {
  switch (operation.kind) {
    case 'put': {
      const { previous, ignoreValue, ignoreLease, lease } = operation
      writer.u8(
        (previous ? putFlags.previous : 0) |
          (ignoreValue ? putFlags.ignoreValue : 0) |
          (ignoreLease ? putFlags.ignoreLease : 0) |
          (lease === 0n ? 0 : putFlags.lease),
      )
      if (lease !== 0n) writer.u64(lease)
      writer.sized(operation.key)
      writer.sized(operation.value)
      return
    }
    case 'deleteRange':
      writer.u8(operation.previous ? deleteFlags.previous : 0)
      writer.sized(operation.key)
      writer.sized(operation.rangeEnd)
      return
    case 'range':
      writer.u8(
        (operation.keysOnly ? rangeFlags.keysOnly : 0) | (operation.countOnly ? rangeFlags.countOnly : 0),
      )
      writer.sized(operation.key)
      writer.sized(operation.rangeEnd)
      writer.u8(sortOrders.indexOf(operation.sortOrder))
      writer.u8(sortTargets.indexOf(operation.sortTarget))
      writeSigned(writer, operation.limit)
      writeSigned(writer, operation.revision)
      writeSigned(writer, operation.modRevisionMin)
      writeSigned(writer, operation.modRevisionMax)
      writeSigned(writer, operation.createRevisionMin)
      writeSigned(writer, operation.createRevisionMax)
      return
    case 'transaction':
      writer.varint(operation.compare.length)
      for (const compare of operation.compare) encodeCompare(writer, compare)
      writer.varint(operation.success.length)
      for (const inner of operation.success) encodeOperation(writer, inner)
      writer.varint(operation.failure.length)
      for (const inner of operation.failure) encodeOperation(writer, inner)
      return
    default:
      unreachable(operation, 'an operation has a kind')
  }
}

function encodeCompare(writer: ByteWriter, compare: Compare): void {
  writer.u8(compareTargets.indexOf(compare.target))
  writer.u8(compareResults.indexOf(compare.result))
  writer.sized(compare.key)
  writer.sized(compare.rangeEnd)
  if (compare.target === 'value') writer.sized(compare.value)
  else if (compare.target === 'lease') writer.u64(compare.lease)
  else writeSigned(writer, compare.number)
}

/** Clients send what they like, so numbers that count may be negative: u8 sign | varint amount. */
function writeSigned(writer: ByteWriter, value: number): void {
  writer.u8(value < 0 ? 1 : 0)
  writer.varint(Math.abs(value))
}

// ---- decode -------------------------------------------------------------------------------------------------------

/**
 * Keys and values are views on `bytes`.
 * Errors: `format-unsupported` for a version, kind or flag that this program does not know; `frame-malformed`.
 */
export function decodeCommand(bytes: Uint8Array): Command {
  const reader = new ByteReader(bytes)
  const version = reader.u8()
  if (version !== commandVersion) {
    throw new QuorateError(
      'format-unsupported',
      `a command has version ${version}, known is ${commandVersion}`,
    )
  }
  const kind = reader.u8()
  const flags = readFlags(reader, hasSession, 'a command')
  const session = flags === 0 ? undefined : readSession(reader)
  const write = decodeWrite(reader, kind)
  reader.finish('a command')
  return { session, write }
}

function readSession(reader: ByteReader): SessionStamp {
  return { session: reader.u64(), request: reader.varint(), answeredBelow: reader.varint() }
}

function decodeWrite(reader: ByteReader, kind: number): WriteCommand {
  switch (kind) {
    case kindCode.compact:
      return { kind: 'compact', revision: readSigned(reader) }
    case kindCode.leaseGrant:
      return { kind: 'leaseGrant', id: reader.u64(), ttlSeconds: readSigned(reader) }
    case kindCode.leaseRevoke:
      return { kind: 'leaseRevoke', id: reader.u64(), expired: readFlags(reader, 1, 'a revoke') === 1 }
    case kindCode.leaseCheckpoint:
      return {
        kind: 'leaseCheckpoint',
        leases: readList(reader, () => ({ id: reader.u64(), remainingSeconds: reader.varint() })),
      }
    default: {
      const operation = decodeOperationBody(reader, kind, 1)
      if (operation.kind !== 'range') return operation
      throw new QuorateError('frame-malformed', 'a range is no command')
    }
  }
}

function decodeOperationBody(reader: ByteReader, kind: number, depth: number): Operation {
  switch (kind) {
    case kindCode.put: {
      const flags = readFlags(reader, 15, 'a put')
      const lease = (flags & putFlags.lease) === 0 ? 0n : reader.u64()
      return {
        kind: 'put',
        key: reader.sized(),
        value: reader.sized(),
        lease,
        previous: (flags & putFlags.previous) !== 0,
        ignoreValue: (flags & putFlags.ignoreValue) !== 0,
        ignoreLease: (flags & putFlags.ignoreLease) !== 0,
      }
    }
    case kindCode.deleteRange: {
      const flags = readFlags(reader, deleteFlags.previous, 'a delete')
      return { kind: 'deleteRange', key: reader.sized(), rangeEnd: reader.sized(), previous: flags !== 0 }
    }
    case kindCode.range: {
      const flags = readFlags(reader, 3, 'a range')
      return {
        kind: 'range',
        key: reader.sized(),
        rangeEnd: reader.sized(),
        sortOrder: readName(reader, sortOrders, 'sort order'),
        sortTarget: readName(reader, sortTargets, 'sort target'),
        limit: readSigned(reader),
        revision: readSigned(reader),
        modRevisionMin: readSigned(reader),
        modRevisionMax: readSigned(reader),
        createRevisionMin: readSigned(reader),
        createRevisionMax: readSigned(reader),
        keysOnly: (flags & rangeFlags.keysOnly) !== 0,
        countOnly: (flags & rangeFlags.countOnly) !== 0,
      }
    }
    case kindCode.transaction:
      return decodeTransaction(reader, depth)
    default:
      throw new QuorateError('format-unsupported', `a command or operation has the unknown kind ${kind}`)
  }
}

function decodeTransaction(reader: ByteReader, depth: number): TransactionOperation {
  if (depth > transactionDepthMax) {
    throw new QuorateError('frame-malformed', `a transaction is nested deeper than ${transactionDepthMax}`)
  }
  const readOperation = (): Operation => decodeOperationBody(reader, reader.u8(), depth + 1)
  return {
    kind: 'transaction',
    compare: readList(reader, () => decodeCompare(reader)),
    success: readList(reader, readOperation),
    failure: readList(reader, readOperation),
  }
}

const noBytes = new Uint8Array(0)

function decodeCompare(reader: ByteReader): Compare {
  const target = readName(reader, compareTargets, 'compare target')
  const result = readName(reader, compareResults, 'compare result')
  const key = reader.sized()
  const rangeEnd = reader.sized()
  const value = target === 'value' ? reader.sized() : noBytes
  const lease = target === 'lease' ? reader.u64() : 0n
  const number = target === 'value' || target === 'lease' ? 0 : readSigned(reader)
  return { target, result, key, rangeEnd, value, lease, number }
}

function readSigned(reader: ByteReader): number {
  const isNegative = readFlags(reader, 1, 'a sign') === 1
  const amount = reader.varint()
  if (isNegative && amount === 0) throw new QuorateError('frame-malformed', 'a number is minus zero')
  return isNegative ? -amount : amount
}

/** A count from a stranger allocates nothing by itself: each element takes at least a byte that must be there. */
function readList<T>(reader: ByteReader, readElement: () => T): T[] {
  const count = reader.varint()
  if (count > reader.remaining) {
    throw new QuorateError('frame-malformed', `a list of ${count} cannot fit into ${reader.remaining} bytes`)
  }
  const list: T[] = []
  for (let i = 0; i < count; i++) list.push(readElement())
  return list
}

function readName<T>(reader: ByteReader, names: readonly T[], what: string): T {
  const code = reader.u8()
  const name = names[code]
  if (name === undefined) throw new QuorateError('format-unsupported', `the ${what} ${code} is unknown`)
  return name
}

function readFlags(reader: ByteReader, known: number, what: string): number {
  const flags = reader.u8()
  if ((flags & ~known) !== 0)
    throw new QuorateError('format-unsupported', `${what} has unknown flags ${flags}`)
  return flags
}
