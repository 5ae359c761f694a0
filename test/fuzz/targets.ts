import { coreTargets } from './core-targets.ts'
import { diskTargets } from './disk-targets.ts'
import { etcdTargets } from './etcd-targets.ts'
import { http2Targets } from './http2-targets.ts'
import { peerTargets } from './peer-targets.ts'
import { raftTargets } from './raft-targets.ts'
import type { FuzzTarget } from './target.ts'
import { textTargets } from './text-targets.ts'

/** Every decoder of the product that is fuzzed in process. */
export async function allTargets(): Promise<readonly FuzzTarget[]> {
  return [
    ...etcdTargets(),
    ...http2Targets(),
    ...peerTargets(),
    ...coreTargets(),
    ...raftTargets(),
    ...textTargets(),
    ...(await diskTargets()),
  ]
}
