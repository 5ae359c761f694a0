import type { Violation } from './history.ts'
import type { HashAnswer } from './server-seam.ts'

/** What one server said of its own state. */
export interface HashReport extends HashAnswer {
  readonly server: string
}

/** States at equal revisions, compacted at equal revisions, have equal hashes, whoever is asked and whenever. */
export function checkHashes(reports: readonly HashReport[]): Violation[] {
  const first = new Map<string, HashReport>()
  const violations: Violation[] = []
  for (const report of reports) {
    const moment = `revision ${report.revision} compacted at ${report.compactRevision}`
    const other = first.get(moment)
    if (other === undefined) first.set(moment, report)
    else if (other.hash !== report.hash) {
      const facts = `${moment}: ${other.hash} at ${other.server}, ${report.hash} at ${report.server}`
      violations.push({ promise: 'equal hash at equal revision', facts })
    }
  }
  return violations
}
