import assert from 'node:assert/strict'
import test from 'node:test'
import { isQuorateError, type NodeId, noNode, SeededRandom } from '../base/index.ts'
import { never } from '../io/index.ts'
import type { RaftNode } from '../raft/index.ts'
import { decodeEnvelope } from './envelope.ts'
import type { NodeMessage } from './node-message-codec.ts'
import { defaultGroupLimits } from './options.ts'
import { Proposals } from './proposals.ts'

const self = 1n
const other = 2n
const incarnation = { high: 3, low: 400 }
const timeoutMs = 100
type Forward = Extract<NodeMessage, { kind: 'forward' }>

/** A node whose log, peers and applying are drawn; it writes down what becomes of each command. */
class Bench {
  readonly random: SeededRandom
  readonly proposals: Proposals<number>
  readonly raft = {
    role: 'follower',
    leader: noNode as NodeId,
    propose: (all: Uint8Array[]) => this.#log(all),
  }
  /** By command: its answer, each time. */
  readonly answers = new Map<number, string[]>()
  /** Of each command: its number on the way; and those that some log holds. */
  readonly sequences = new Map<number, number>()
  readonly logged = new Set<number>()
  readonly forwards: Forward[] = []
  nowMs = 0
  asked = 0

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
    this.proposals = new Proposals({
      raft: this.raft as unknown as RaftNode,
      time: { monotonicMs: () => this.nowMs, wallMs: () => 0 } as never,
      limits: { ...defaultGroupLimits, updateQueueMax: 8, waitingMax: 20 },
      maybe: never,
      incarnation,
      send: (_to, message) => this.#send(message as Forward),
      waits: () => undefined,
      isStopped: () => false,
      isDiskFull: () => false,
      isStateLost: () => false,
    })
  }

  readonly ask = (): void => {
    const command = this.asked++
    const said: string[] = []
    this.answers.set(command, said)
    this.proposals.propose(Uint8Array.of(command), { timeoutMs }).then(
      ({ result }) => said.push(`result ${result}`),
      (error: unknown) => said.push(isQuorateError(error) ? error.code : String(error)),
    )
  }

  readonly propose = (): void => this.proposals.proposeWaiting()

  /** Of a message on the way: the leader takes its commands in, or none, or it is lost. */
  readonly arrive = (): void => {
    const message = this.forwards.shift()
    if (message === undefined || this.random.chance(0.2)) return
    const sequences = message.commands.map(({ sequence }) => sequence)
    if (this.random.chance(0.3)) this.proposals.refused(sequences, 'no-leader')
    else for (const sequence of sequences) this.logged.add(sequence)
  }

  readonly apply = (): void => {
    for (const sequence of this.logged) {
      if (this.random.chance(0.5)) continue
      // The same number of another process is nobody's here.
      const isOurs = this.random.chance(0.8)
      const origin = { incarnation: isOurs ? incarnation : { high: 3, low: 401 }, sequence }
      this.proposals.applied(origin, isOurs ? sequence : -1, { index: sequence, term: 1 })
    }
  }

  /** What left the queue under the old leadership is answered at once: nobody will. */
  readonly turnOver = (): void => {
    const role = this.random.pick(['leader', 'follower'])
    const leader = role === 'leader' ? self : this.random.pick([noNode, other])
    if (this.raft.role === role && this.raft.leader === leader) return
    Object.assign(this.raft, { role, leader })
    this.proposals.leadershipChanged(role === 'leader')
    const { waitingSize, queueSize } = this.proposals
    assert.ok(waitingSize <= queueSize, `${waitingSize} wait, ${queueSize} of them in the queue at the most`)
  }

  readonly tick = (): void => {
    this.nowMs += this.random.between(0, 40)
    this.proposals.tick(this.nowMs)
  }

  #log(all: readonly Uint8Array[]): ReturnType<RaftNode['propose']> {
    if (this.random.chance(0.2)) return { ok: false, reason: 'overloaded' }
    for (const payload of all) {
      const { sequence, command } = decodeEnvelope(payload)
      this.#left(sequence, command)
      this.logged.add(sequence)
    }
    return { ok: true, index: 1, term: 1 }
  }

  #send(message: Forward): boolean {
    if (this.random.chance(0.2)) return false
    for (const { sequence, command } of message.commands) this.#left(sequence, command)
    this.forwards.push(message)
    return true
  }

  #left(sequence: number, command: Uint8Array): void {
    const known = command[0] as number
    assert.equal(this.sequences.get(known), undefined, `command ${known} leaves once`)
    this.sequences.set(known, sequence)
  }
}

test('whatever happens in whatever order: a command leaves once, is answered once, and a refused one is in no log', async () => {
  const seen = new Map<string, number>()
  for (let seed = 1; seed <= 300; seed++) {
    const bench = new Bench(seed)
    const { ask, propose, arrive, apply, turnOver, tick } = bench
    for (let step = 0; step < 80; step++) {
      bench.random.pick([ask, ask, propose, propose, arrive, apply, turnOver, tick])()
      await Promise.resolve()
    }
    bench.nowMs += 2 * timeoutMs
    bench.proposals.tick(bench.nowMs)
    // What is still on its way may arrive whenever it likes.
    for (const { commands } of bench.forwards) for (const { sequence } of commands) bench.logged.add(sequence)
    await new Promise(setImmediate)
    for (const [command, answers] of bench.answers) {
      const sequence = bench.sequences.get(command)
      const about = `command ${command} of seed ${seed}: ${answers}`
      const [answer = 'none'] = answers
      assert.equal(answers.length, 1, about)
      const isLogged = sequence !== undefined && bench.logged.has(sequence)
      if (answer.startsWith('result')) assert.equal(answer, `result ${sequence}`, about)
      else if (answer !== 'outcome-unknown') assert.ok(!isLogged, about)
      const kind = answer.split(' ')[0] ?? ''
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
    }
  }
  assert.deepEqual([...seen.keys()].sort(), ['no-leader', 'outcome-unknown', 'overloaded', 'result'])
})
