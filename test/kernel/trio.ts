// Three nodes with small files: one whose words are remembered, and a follower that things happen to.
import { type ProcessCluster, type ProcessNode, planCluster } from '../processes/harness.ts'
import type { Lab } from './lab.ts'
import { Life, smallFiles } from './life.ts'

export interface Trio {
  readonly cluster: ProcessCluster
  /** What is asked of it is remembered. */
  readonly life: Life
  readonly follower: ProcessNode
}

export async function startTrio(lab: Lab): Promise<Trio> {
  const t = { after: (cleanup: () => void) => lab.onEnd(cleanup) }
  const cluster = await planCluster(t, 3, smallFiles)
  await cluster.start()
  const leader = await cluster.leader()
  const [follower] = await cluster.followers()
  if (follower === undefined) throw new Error('a cluster of three has a follower')
  const life = new Life(leader)
  await life.put('first')
  return { cluster, life, follower }
}

export async function endTrio({ cluster }: Trio): Promise<void> {
  await Promise.all(cluster.live.map((node) => node.end('SIGKILL')))
  for (const node of cluster.nodes) node.close()
}

/** True once the follower has the state of the node that is asked. A node that has ended: an error. */
export async function isLikeTheOther({ cluster, follower, life }: Trio): Promise<true | undefined> {
  if (cluster.live.length < cluster.nodes.length) throw new Error('a node has ended')
  const [left, right] = await Promise.all([follower.status(), life.node.status()])
  const isSame =
    left.group.appliedIndex === right.group.appliedIndex && left.group.digest === right.group.digest
  return isSame && left.group.problems.length === 0 ? true : undefined
}
