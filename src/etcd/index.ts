/**
 * etcd: the etcd v3 API as gRPC services. A door: it decodes, asks the group and the core, encodes; it keeps no state
 * but what one open stream needs.
 *
 * 1. Nothing that can be refused without state reaches the log.
 * 2. Reads are linearizable unless the client asked for the local state. The revision in a header is the one at which
 *    the answer was read or written, so watching from the next one on misses nothing.
 * 3. A renewal, and what a lease has left, is told only after a quorum round of the leader that began after the
 *    question arrived; while the leadership is in doubt the answer is an error, never a number.
 * 4. A client that does not read stops its own stream only: what waits for it is bounded, and the core keeps the rest.
 * 5. Every refusal is a code of base/errors.ts and has its row in error-map.ts; a refused write says in the trailer
 *    `quorate-outcome` whether it can have happened.
 *
 * One service a file. What Quorate adds travels as metadata (call-metadata.ts): sessions that make a retry the same
 * request, and reads at a revision.
 *
 * Sources: etcd 3.6 (api/v3rpc, server/etcdserver/api/v3rpc), docs/compatibility/etcd.md for every method and
 * difference. Left out: Auth, Lock, Election, RangeStream (refused by name), the JSON gateway.
 */
import type { GrpcServices } from '../grpc/index.ts'
import { clusterService } from './cluster.ts'
import type { EtcdDependencies } from './dependencies.ts'
import { kvService } from './kv.ts'
import { LeaderMonitor } from './leader-monitor.ts'
import { answerQuestion } from './leader-question.ts'
import { leaseService } from './lease.ts'
import { maintenanceService } from './maintenance.ts'
import { unservedServices } from './unserved.ts'
import { watchService } from './watch.ts'

export {
  type Alarm,
  defaultEtcdOptions,
  type EtcdDependencies,
  type EtcdOptions,
  type MaintenanceHooks,
  type SnapshotDownload,
} from './dependencies.ts'

/** How long the leader works on another member's question; the asker has its own, shorter or longer, patience. */
const questionTimeoutMs = 5000

/** Every method of the v3 API by its path. Also becomes the answerer of the group's questions to its leader. */
export function createEtcdServices(from: EtcdDependencies): GrpcServices {
  from.group.setQuestionHandler((question) =>
    answerQuestion(from, question, { timeoutMs: questionTimeoutMs }),
  )
  const monitor = new LeaderMonitor(from)
  return new Map([
    ...kvService(from),
    ...watchService(from, monitor),
    ...leaseService(from, monitor),
    ...clusterService(from),
    ...maintenanceService(from, monitor),
    ...unservedServices(from),
  ])
}
