/**
 * Opaque 64-bit ids, branded so that they cannot be swapped. Counters (index, term, revision) are plain
 * numbers with named fields: docs/decisions/0002 says why they carry no brand.
 */
export type ClusterId = bigint & { readonly brand?: 'ClusterId' }
export type NodeId = bigint & { readonly brand?: 'NodeId' }
export type LeaseId = bigint & { readonly brand?: 'LeaseId' }

/** Id 0 is never given to a node: it stands for "none" (no vote cast, no leader known). */
export const noNode: NodeId = 0n

/** Sixteen hexadecimal digits, the way etcd prints ids. */
export function formatId(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16).padStart(16, '0')
}

export function compareIds(left: bigint, right: bigint): number {
  return left < right ? -1 : left > right ? 1 : 0
}
