// Two servers asked the same; every answer compared.
import type { MethodName } from '../support/etcd-messages.ts'
import { type Answer, GrpcClient } from '../support/grpc-client.ts'
import { messageOf, numberOf } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'
import { type Difference, findKnown } from './known-differences.ts'
import {
  type Canonical,
  canonicalAnswer,
  canonicalMessage,
  firstDifference,
  LeaseNames,
  short,
} from './normalise.ts'
import type { Plant } from './plant.ts'

const shownMax = 25
const requestDeadlineMs = 120_000

/** `plant`: a fault put into what this side says, to prove that the comparison sees it. */
export type Side = {
  label: 'a' | 'b'
  client: GrpcClient
  leases: LeaseNames
  waitedMs: number
  plant?: Plant
}

export class Pair {
  readonly a: Side
  readonly b: Side
  readonly #knownCounts = new Map<string, number>()
  readonly #kinds = new Map<string, number>()
  #differences = 0
  #requests = 0
  #grants = 0

  constructor(endpointA: string, endpointB: string, plant?: Plant) {
    this.a = { label: 'a', client: new GrpcClient(endpointA), leases: new LeaseNames(), waitedMs: 0 }
    this.b = { label: 'b', client: new GrpcClient(endpointB), leases: new LeaseNames(), waitedMs: 0 }
    if (plant !== undefined) this.b.plant = plant
  }

  /** Differences that no entry of the allow-list covers. */
  get differences(): number {
    return this.#differences
  }

  get requests(): number {
    return this.#requests
  }

  /** How often side a answered in which way: methods, and refusals by their text. */
  get kinds(): ReadonlyMap<string, number> {
    return this.#kinds
  }

  get knownCounts(): ReadonlyMap<string, number> {
    return this.#knownCounts
  }

  /** Asks both and compares. Resolves with the answer of side a. */
  async call(name: MethodName, request: Message): Promise<Answer> {
    const [answerA, answerB] = await this.#askBoth(name, request)
    if (name === 'leaseGrant' && answerA.code === 0 && answerB.code === 0)
      this.#nameLease(request, answerA, answerB)
    this.compare({
      subject: name,
      request,
      a: canonicalAnswer(answerA, this.a.leases),
      b: canonicalAnswer(answerB, this.b.leases),
    })
    return answerA
  }

  /** Compares the revisions only: for loading, where the answers say nothing more. Throws on a refusal. */
  async write(name: MethodName, request: Message): Promise<number> {
    const [answerA, answerB] = await this.#askBoth(name, request)
    if (answerA.code !== 0 || answerB.code !== 0) {
      throw new Error(
        `${name} was refused: a ${answerA.code} ${answerA.text} | b ${answerB.code} ${answerB.text}`,
      )
    }
    const revisionA = numberOf(messageOf(answerA.message.header).revision)
    const revisionB = numberOf(messageOf(answerB.message.header).revision)
    if (revisionA !== revisionB) throw new Error(`revisions part: a ${revisionA}, b ${revisionB}`)
    return revisionA
  }

  /** Records and shows the difference, if there is one. */
  compare(difference: Difference): boolean {
    const where = firstDifference(difference.a, difference.b)
    if (where === undefined) return true
    const known = findKnown(difference)
    if (known !== undefined) {
      this.#knownCounts.set(known.id, (this.#knownCounts.get(known.id) ?? 0) + 1)
      return true
    }
    this.#differences++
    if (this.#differences <= shownMax) this.#show(difference, where)
    return false
  }

  close(): void {
    this.a.client.close()
    this.b.client.close()
  }

  async #askBoth(name: MethodName, request: Message): Promise<[Answer, Answer]> {
    // The server's choice of a lease id differs; a request names the lease of each side by its own id.
    const [answerA, answerB] = await Promise.all([
      this.#ask(this.a, name, request),
      this.#ask(this.b, name, request),
    ])
    this.#requests++
    // Two servers that are both gone agree on everything.
    for (const answer of [answerA, answerB]) if (answer.lost) throw new Error(`${name}: ${answer.text}`)
    const kind = answerA.code === 0 ? name : `${name}: ${answerA.text}`
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1)
    return [answerA, this.b.plant?.changeAnswer(name, answerB) ?? answerB]
  }

  async #ask(side: Side, name: MethodName, request: Message): Promise<Answer> {
    const start = performance.now()
    const answer = await side.client.call(name, leaseRequest(request, side.leases), requestDeadlineMs)
    side.waitedMs += performance.now() - start
    return answer
  }

  #nameLease(request: Message, answerA: Answer, answerB: Answer): void {
    if (typeof request.ID === 'bigint' && request.ID !== 0n) return
    const name = `lease#${++this.#grants}`
    if (typeof answerA.message.ID === 'bigint') this.a.leases.add(answerA.message.ID, name)
    if (typeof answerB.message.ID === 'bigint') this.b.leases.add(answerB.message.ID, name)
  }

  #show({ subject, request, a, b }: Difference, where: string): void {
    console.log(`\nDIFFERENCE ${this.#differences} in ${subject} at ${where}`)
    console.log(`  request ${short(showRequest(request), 2_000)}`)
    console.log(`  a       ${short(a, 1_500)}`)
    console.log(`  b       ${short(b, 1_500)}`)
  }
}

/** What was asked, without fields that say nothing and without long runs of one character. */
export function showRequest(request: Message): Canonical {
  return withoutZeros(canonicalMessage(request, new LeaseNames()))
}

function withoutZeros(value: Canonical): Canonical {
  if (typeof value === 'string') return value.replace(/(.)\1{40,}/g, (run, char) => `${char}{${run.length}}`)
  if (Array.isArray(value)) return value.map(withoutZeros)
  if (typeof value !== 'object') return value
  const shown = Object.entries(value).filter(([, field]) => field !== false && field !== 0 && field !== '0')
  return Object.fromEntries(shown.map(([name, field]) => [name, withoutZeros(field)]))
}

/** Server-chosen leases are named by their order in requests (`lease#1`); each side has its own id for it. */
function leaseRequest(request: Message, leases: LeaseNames): Message {
  for (const field of ['lease', 'ID'] as const) {
    const value = request[field]
    if (typeof value === 'string') return { ...request, [field]: leases.idOf(value) }
  }
  return request
}
