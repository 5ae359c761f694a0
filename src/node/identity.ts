import { ByteReader, ByteWriter, type ClusterId, crc32c, type NodeId, QuorateError } from '../base/index.ts'
import type { Disk } from '../io/index.ts'

/**
 * Who the owner of a data directory is. Written once when the directory is made, and once more when the log in it
 * exists: a directory that is `ready` and has no log lost it, and must not start as if it were new.
 * Shape: 8 bytes "QRTIDENT" | u8 version | u8 flags (1: ready, 2: joined) | u64 cluster | u64 node | u64 directory |
 *        sized member list | u32 checksum over all before. docs/formats/identity.md.
 */
export interface Identity {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  /** Random: another directory of the same member has another one. */
  readonly directoryId: bigint
  readonly isReady: boolean
  /** It joined a running cluster: `directory` tells whom to reach, not who votes. */
  readonly isJoined: boolean
  readonly directory: Uint8Array
}

const magic = new Uint8Array([0x51, 0x52, 0x54, 0x49, 0x44, 0x45, 0x4e, 0x54])
const identityVersion = 1
const fileName = 'identity'
const sizeMax = 1024 * 1024

export function encodeIdentity(identity: Identity): Uint8Array {
  const writer = new ByteWriter()
  writer.raw(magic)
  writer.u8(identityVersion)
  writer.u8((identity.isReady ? 1 : 0) | (identity.isJoined ? 2 : 0))
  writer.u64(identity.clusterId)
  writer.u64(identity.nodeId)
  writer.u64(identity.directoryId)
  writer.sized(identity.directory)
  writer.u32(crc32c(writer.view()))
  return writer.copy()
}

/** Atomic: a crash leaves the old file or the new one. */
export async function writeIdentity(disk: Disk, directory: string, identity: Identity): Promise<void> {
  const temporary = `${directory}/${fileName}.new`
  await disk.remove(temporary)
  const file = await disk.open(temporary, { create: true })
  await file.write(0, [encodeIdentity(identity)])
  await file.sync()
  await file.close()
  await disk.rename(temporary, `${directory}/${fileName}`)
  await disk.syncDirectory(directory)
}

/** Undefined when there is none. Errors: `data-damaged`, `format-unsupported`. */
export async function readIdentity(disk: Disk, directory: string): Promise<Identity | undefined> {
  const path = `${directory}/${fileName}`
  if (!(await disk.exists(path))) return undefined
  const file = await disk.open(path, { create: false })
  const size = await file.size()
  const bytes = new Uint8Array(Math.min(size, sizeMax))
  await file.read(0, bytes)
  await file.close()
  return decodeIdentity(bytes, path)
}

function decodeIdentity(bytes: Uint8Array, path: string): Identity {
  const damaged = (what: string): QuorateError =>
    new QuorateError(
      'data-damaged',
      `${path}, bytes [0, ${bytes.length}): ${what}. Remove this member and add it again with an empty data directory.`,
    )
  if (bytes.length < magic.length + 2 || !magic.every((byte, i) => bytes[i] === byte)) {
    throw damaged('this is no identity file')
  }
  const checksumAt = bytes.length - 4
  const stored = new ByteReader(bytes, checksumAt).u32()
  if (crc32c(bytes, 0, 0, checksumAt) !== stored)
    throw damaged('the identity file does not match its checksum')
  const reader = new ByteReader(bytes, magic.length, checksumAt)
  const version = reader.u8()
  if (version !== identityVersion) {
    throw new QuorateError(
      'format-unsupported',
      `${path} has version ${version}; this build knows ${identityVersion}`,
    )
  }
  const flags = reader.u8()
  const identity = {
    clusterId: reader.u64(),
    nodeId: reader.u64(),
    directoryId: reader.u64(),
    isReady: (flags & 1) !== 0,
    isJoined: (flags & 2) !== 0,
    directory: reader.sized().slice(),
  }
  reader.finish('the identity file')
  return identity
}
