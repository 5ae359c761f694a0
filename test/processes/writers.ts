// Clients that write without a pause while nodes come and go, and remember what was acknowledged to them.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { bytes, bytesOf, messagesOf, numberOf, prefixRange, revisionOf } from '../support/keys.ts'
import { eventually, type ProcessNode } from './harness.ts'

const prefix = 'w/'
const callDeadlineMs = 5_000
const pauseAfterRefusalMs = 25

export class Writers {
  readonly #nodes: readonly ProcessNode[]
  readonly #work: Promise<void>[]
  /** Key to the revision in the acknowledgement. */
  readonly #acknowledged = new Map<string, number>()
  readonly #attempted = new Set<string>()
  #isStopped = false
  #lastMs = performance.now()
  refusedCount = 0
  /** The longest time in which no writer at all had an acknowledgement, in milliseconds. */
  longestGapMs = 0

  /** Writer i begins at node i and goes on to the next when it is refused; no key is ever tried twice. */
  constructor(t: Pick<TestContext, 'after'>, nodes: readonly ProcessNode[], count: number) {
    this.#nodes = nodes
    this.#work = Array.from({ length: count }, (_, i) => this.#write(i))
    // A test that failed must not go on writing for ever.
    t.after(() => {
      this.#isStopped = true
    })
  }

  get acknowledgedCount(): number {
    return this.#acknowledged.size
  }

  async acknowledged(count: number): Promise<void> {
    await eventually(`${count} acknowledged writes`, () => {
      if (this.#acknowledged.size >= count) return true
      throw new Error(`${this.#acknowledged.size} acknowledged, ${this.refusedCount} refused`)
    })
  }

  /** Until so many more than now. */
  more(count: number): Promise<void> {
    return this.acknowledged(this.#acknowledged.size + count)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#work)
  }

  /** What was acknowledged is there, once, at its revision; nothing is there that nobody wrote. */
  async check(node: ProcessNode): Promise<void> {
    assert.ok(this.#acknowledged.size > 0, 'something was acknowledged')
    const answer = await node.must('range', prefixRange(prefix))
    const found = new Map<string, number>()
    for (const kv of messagesOf(answer.kvs)) {
      const key = Buffer.from(bytesOf(kv.key)).toString()
      assert.equal(Buffer.from(bytesOf(kv.value)).toString(), valueFor(key))
      assert.equal(kv.version, 1, `${key} was written once`)
      found.set(key, numberOf(kv.mod_revision))
    }
    const lost = [...this.#acknowledged].filter(([key, revision]) => found.get(key) !== revision)
    assert.deepEqual(lost, [], `acknowledged and not there at its revision on ${node.name}`)
    const invented = [...found.keys()].filter((key) => !this.#attempted.has(key))
    assert.deepEqual(invented, [])
  }

  async #write(writer: number): Promise<void> {
    let at = writer
    for (let count = 0; !this.#isStopped; count++) {
      const node = this.#nodes[at % this.#nodes.length]
      assert.ok(node !== undefined)
      const key = `${prefix}${writer}/${count}`
      this.#attempted.add(key)
      const request = { key: bytes(key), value: bytes(valueFor(key)) }
      const answer = await node.call('put', request, callDeadlineMs)
      if (answer.code === 0) {
        this.#acknowledged.set(key, revisionOf(answer.message))
        const nowMs = performance.now()
        this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastMs)
        this.#lastMs = nowMs
        continue
      }
      this.refusedCount++
      at++
      await sleep(pauseAfterRefusalMs)
    }
  }
}

function valueFor(key: string): string {
  return `value of ${key}`
}
