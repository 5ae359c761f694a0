// Runs the cases of the store's conformance suite: each yields the promises it waits for.
import test from 'node:test'
import type { ConformanceCase, ConformanceMedium } from '../src/store/index.ts'

export type MediumUnderTest = Omit<ConformanceMedium, 'follow'> & { dispose(): Promise<void> }

/** One test a case; each gets a medium of its own, which is cleaned up afterwards. */
export function runConformance(
  label: string,
  cases: readonly ConformanceCase[],
  createMedium: () => Promise<MediumUnderTest>,
): void {
  for (const { name, run } of cases) {
    test(`${label}: ${name}`, async () => {
      const medium = await createMedium()
      try {
        const steps = run({ ...medium, follow })
        for (let step = steps.next(); step.done !== true; ) step = steps.next(await step.value)
      } finally {
        await medium.dispose()
      }
    })
  }
}

function follow(promise: Promise<void>): { readonly done: boolean } {
  const state = { done: false }
  promise.then(
    () => {
      state.done = true
    },
    () => undefined,
  )
  return state
}
