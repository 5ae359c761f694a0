// What directed tests ask of a cluster, and what they make of the answers.
import assert from 'node:assert/strict'
import type { CallResult } from '../client.ts'
import type { ModelPair, ModelRequest } from '../kv-model.ts'
import type { ServerRequest } from '../server-seam.ts'
import type { Story } from './story.ts'

/** Large enough that nothing but what the test does moves the logs. */
export const roomy = { segmentBytesMax: 262_144, snapshotEntries: 100_000, windowBytesMax: 1_048_576 }

export const asked = (
  request: ModelRequest,
  more: { isSerializable?: boolean; leastRevision?: number } = {},
): Extract<ServerRequest, { kind: 'keyValue' }> => ({
  kind: 'keyValue',
  request,
  isSerializable: false,
  atRevision: 0,
  ...more,
})

export const rangeOf = (key: string, end = ''): ModelRequest => ({ kind: 'range', key, end, limit: 0 })

export function pairsOf(result: CallResult): readonly ModelPair[] {
  if (result.kind !== 'answered') return assert.fail(`${result.kind} ${result.code}`)
  const found = result.answer.result
  return found?.kind === 'range' ? found.pairs : assert.fail('this is no range')
}

export const revisionOf = (result: CallResult): number =>
  result.kind === 'answered' ? result.answer.revision : 0

/** Asked again, at whichever node runs, until there is an answer: only for what may be repeated. */
export async function untilAnswered(story: Story, request: ServerRequest): Promise<CallResult> {
  for (let attempt = 0; attempt < 400; attempt++) {
    const life = story.paths.pickServer()
    const result = life && (await story.paths.call(life, request))
    if (result?.kind === 'answered') return result
    await story.scheduler.wait(50)
  }
  return assert.fail('never answered')
}

export const ask = (story: Story, request: ServerRequest): Promise<CallResult> =>
  story.scheduler.complete(untilAnswered(story, request))
