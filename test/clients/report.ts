// What an acceptance run found: one line a claim.

export type Failure = { claim: string; detail: string }
export type Report = { passed: string[]; failures: Failure[] }

/** A claim and what proves it; it throws when the claim does not hold. */
export type Claim = { name: string; prove(): Promise<void> }

export async function proveAll(claims: readonly Claim[], deadlineMs: number): Promise<Report> {
  const report: Report = { passed: [], failures: [] }
  for (const { name, prove } of claims) {
    try {
      await within(deadlineMs, prove())
      report.passed.push(name)
    } catch (error) {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
      report.failures.push({ claim: name, detail })
    }
  }
  return report
}

async function within(deadlineMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${deadlineMs} ms`)), deadlineMs)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
