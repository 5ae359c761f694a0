import { coreTargets } from './core-targets.ts'
import { diskTargets } from './disk-targets.ts'
import { etcdTargets } from './etcd-targets.ts'
import { peerTargets } from './peer-targets.ts'
import { raftTargets } from './raft-targets.ts'
import type { FuzzTarget } from './target.ts'
import { textTargets } from './text-targets.ts'

/** Every decoder of the product that is fuzzed in process. */
export async function allTargets(): Promise<readonly FuzzTarget[]> {
  return [
    ...etcdTargets(),
    ...peerTargets(),
    ...coreTargets(),
    ...raftTargets(),
    ...textTargets(),
    ...(await diskTargets()),
  ]
}
