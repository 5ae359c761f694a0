import type { NodeId } from '../base/index.ts'
import type { Directory } from './members.ts'
import { findPeer } from './membership.ts'

/**
 * Out of which data directory each member speaks: the one in the member list, and until the list has one, the first
 * that was heard of since this node started. A member that lost its directory before it was published there has
 * forgotten what it acknowledged all the same.
 */
export class KnownDirectories {
  readonly #heard = new Map<NodeId, bigint>()

  /** Whether `directoryId` may be that of member `id`. Of somebody who is no member nothing is known nor kept. */
  admits(directory: Directory, id: NodeId, directoryId: bigint): boolean {
    const member = findPeer(directory, id)
    if (member === undefined) return true
    if (member.directoryId !== 0n) {
      this.#heard.delete(id)
      return member.directoryId === directoryId
    }
    const heard = this.#heard.get(id)
    if (heard === undefined) this.#heard.set(id, directoryId)
    return heard === undefined || heard === directoryId
  }
}
