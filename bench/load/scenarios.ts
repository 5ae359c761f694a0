import { type ChurnPlan, type ChurnReport, runChurn } from './churn.ts'
import type { LoadControl } from './control.ts'
import { type IdleWatchesPlan, runIdleWatches } from './idle-watches.ts'
import {
  type ExpiryReport,
  type KeepAlivesPlan,
  type KeepAlivesReport,
  type LeasesPlan,
  runExpiry,
  runKeepAlives,
} from './leases.ts'
import { type ProbePlan, type ProbeReport, runProbe } from './probe.ts'
import { type LoadPlan, type LoadReport, LoadRun } from './run.ts'
import { runWatchers, type WatchersPlan, type WatchersReport } from './watchers.ts'

/** What can run in a process of its own: by its name, what it is told and what it reports. */
export interface Scenarios {
  load: { plan: LoadPlan; report: LoadReport }
  probe: { plan: ProbePlan; report: ProbeReport }
  watchers: { plan: WatchersPlan; report: WatchersReport }
  keepAlives: { plan: KeepAlivesPlan; report: KeepAlivesReport }
  expiry: { plan: LeasesPlan; report: ExpiryReport }
  churn: { plan: ChurnPlan; report: ChurnReport }
  idleWatches: { plan: IdleWatchesPlan; report: { events: number } }
}
export type ScenarioName = keyof Scenarios

export const scenarios: {
  readonly [Name in ScenarioName]: (
    plan: Scenarios[Name]['plan'],
    control: LoadControl,
  ) => Promise<Scenarios[Name]['report']>
} = {
  load: (plan, control) => new LoadRun(plan).run(control),
  probe: runProbe,
  watchers: runWatchers,
  keepAlives: runKeepAlives,
  expiry: runExpiry,
  churn: runChurn,
  idleWatches: runIdleWatches,
}
