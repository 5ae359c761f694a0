// Asks a node for everything it has: rows, the whole history that is not compacted, leases.
import { GrpcClient } from '../support/grpc-client.ts'
import { allKeys, bytes, bytesOf, messageOf, messagesOf, numberOf, revisionOf } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'
import type { Change, History, Observed, Row } from './history.ts'

const answerDeadlineMs = 20_000

export async function observe(endpoint: string): Promise<Observed> {
  const client = new GrpcClient(endpoint)
  try {
    const now = await client.must('range', { ...allKeys })
    const revision = revisionOf(now)
    const { compacted, events } = await readHistory(client, 1, revision)
    const base = compacted === 0 ? {} : await client.must('range', { ...allKeys, revision: compacted })
    const leases = messagesOf((await client.must('leaseLeases', {})).leases)
    return {
      revision,
      compacted,
      base: messagesOf(base.kvs).map(rowOf),
      events,
      rows: messagesOf(now.kvs).map(rowOf),
      leases: new Set(leases.map(({ ID }) => idOf(ID))),
    }
  } finally {
    client.close()
  }
}

/**
 * The session's last write is sent again: known to have happened, it answers with its revision and changes nothing.
 * Then one new write, which the node must take.
 */
export async function writeAgain(endpoint: string, history: History, revision: number): Promise<string[]> {
  const client = new GrpcClient(endpoint)
  try {
    let at = revision
    if (history.session !== undefined) {
      const { id, request, attempt } = history.session
      const [change] = attempt.changes
      if (change?.type !== 'put') throw new Error('the session puts')
      const answer = await client.call(
        'put',
        putRequest(change),
        answerDeadlineMs,
        sessionMetadata(id, request),
      )
      if (answer.code !== 0) return [`the session's write is refused: ${answer.text}`]
      const repeated = revisionOf(answer.message)
      if (attempt.revision !== undefined && repeated !== attempt.revision) {
        return [
          `the session's write ${request} was answered with ${attempt.revision} and again with ${repeated}`,
        ]
      }
      at = Math.max(at, repeated)
    }
    const answer = await client.call(
      'put',
      { key: bytes('~after'), value: bytes('a write') },
      answerDeadlineMs,
    )
    if (answer.code !== 0) return [`a write after the restart is refused: ${answer.text}`]
    const written = revisionOf(answer.message)
    return written === at + 1 ? [] : [`a write after revision ${at} got revision ${written}`]
  } finally {
    client.close()
  }
}

export function putRequest({ key, value, lease }: Change & { type: 'put' }): Message {
  return { key: bytes(key), value: bytes(value), lease }
}

export function sessionMetadata(id: bigint, request: number): Record<string, string> {
  return { 'quorate-session': String(id), 'quorate-request': String(request) }
}

async function readHistory(
  client: GrpcClient,
  start: number,
  revision: number,
): Promise<Pick<Observed, 'compacted' | 'events'>> {
  const compacted = start - 1
  const events: { revision: number; change: Change }[] = []
  // The first change of all makes revision 2.
  if (revision <= Math.max(compacted, 1)) {
    if (start > 1) return { compacted, events }
  }
  const stream = client.openStream('watch')
  try {
    stream.send({ create_request: { ...allKeys, start_revision: start } })
    for (;;) {
      if (revision <= 1 || (events.at(-1)?.revision ?? 0) >= revision) break
      const message = await stream.next(answerDeadlineMs)
      if (message === undefined)
        throw new Error(`the history ends at ${events.at(-1)?.revision}, not ${revision}`)
      if (message.canceled === true) {
        const at = numberOf(message.compact_revision)
        if (at < start) throw new Error(`a watch from ${start} was ended: ${String(message.cancel_reason)}`)
        return await readHistory(client, at + 1, revision)
      }
      for (const event of messagesOf(message.events)) events.push(eventOf(event))
    }
  } finally {
    stream.close()
  }
  return { compacted, events }
}

function eventOf(event: Message): { revision: number; change: Change } {
  const { key, value, modified, lease } = rowOf(messageOf(event.kv))
  return {
    revision: modified,
    change: event.type === 1 ? { type: 'delete', key } : { type: 'put', key, value, lease },
  }
}

function rowOf(kv: Message): Row {
  return {
    key: Buffer.from(bytesOf(kv.key)).toString(),
    value: Buffer.from(bytesOf(kv.value)).toString(),
    created: numberOf(kv.create_revision),
    modified: numberOf(kv.mod_revision),
    version: numberOf(kv.version),
    lease: idOf(kv.lease),
  }
}

function idOf(value: unknown): bigint {
  return typeof value === 'bigint' ? value : 0n
}
