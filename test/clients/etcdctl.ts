// Runs the table of etcdctl invocations against a server, with the unmodified etcdctl of the machine.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EtcdctlCase, etcdctlCases, type Step } from './etcdctl-cases.ts'
import { proveAll, type Report } from './report.ts'

const stepDeadlineMs = 20_000
const caseDeadlineMs = 60_000

/** Proves every case whose needs the endpoints meet. A missing etcdctl is a failure. */
export async function proveEtcdctl(endpoints: string[]): Promise<Report> {
  const directory = mkdtempSync(join(tmpdir(), 'etcdctl-'))
  try {
    const claims = etcdctlCases
      .filter((one) => one.nodesMin === undefined || endpoints.length >= one.nodesMin)
      .map((one, i) => ({
        name: `etcdctl ${one.name} (${endpoints.join(',')})`,
        prove: () => new CaseRun(endpoints, directory, `ctl${process.pid}-${i}-${Date.now()}`).run(one),
      }))
    assert.ok(claims.length > 0, 'no case to run')
    return await proveAll(claims, caseDeadlineMs)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

class CaseRun {
  readonly #endpoints: readonly string[]
  /** `$NAME` in arguments and expectations. */
  readonly #variables = new Map<string, string>()
  readonly #background: RunningCommand[] = []

  constructor(endpoints: readonly string[], directory: string, prefix: string) {
    this.#endpoints = endpoints
    this.#variables.set('P', prefix)
    this.#variables.set('DIR', directory)
    this.#variables.set('ENDPOINT', endpoints[0] ?? '')
    this.#variables.set('COUNT', String(endpoints.length))
  }

  async run(one: EtcdctlCase): Promise<void> {
    try {
      for (const step of one.steps) await this.#step(step)
    } finally {
      for (const command of this.#background) await command.stop('SIGKILL')
    }
  }

  async #step(step: Step): Promise<void> {
    if (step.stop !== undefined) {
      const command = this.#background.shift()
      assert.ok(command !== undefined, 'nothing runs in the background')
      await command.stop(step.stop)
      return
    }
    if (step.awaitBackground === true) {
      const waiting = this.#background[0]
      assert.ok(waiting !== undefined, 'nothing runs in the background')
      await waiting.until((out) => this.#matches(step, out), stepDeadlineMs)
      return this.#check(step, waiting, 'of the background')
    }
    if (step.waitFor !== undefined) return await this.#waitFor(step, this.#fill(step.waitFor))
    const text = this.#fill(step.run ?? '')
    const command = new RunningCommand(this.#endpoints, splitWords(text), this.#fill(step.stdin ?? ''))
    if (step.background === true) {
      this.#background.push(command)
      await command.until((out) => this.#matches(step, out), stepDeadlineMs)
    } else if (step.expectOfBackground === true) {
      await command.ended(stepDeadlineMs)
      const watched = this.#background[0]
      assert.ok(watched !== undefined, 'nothing runs in the background')
      await watched.until((out) => this.#matches(step, out), stepDeadlineMs)
      return this.#check(step, watched, text)
    } else {
      const code = await command.ended(stepDeadlineMs)
      assert.equal(code, step.code ?? 0, `etcdctl ${text}\n${command.out}${command.err}`)
    }
    this.#check(step, command, text)
  }

  async #waitFor(step: Step, text: string): Promise<void> {
    const end = performance.now() + stepDeadlineMs
    for (;;) {
      const command = new RunningCommand(this.#endpoints, splitWords(text), '')
      await command.ended(stepDeadlineMs)
      if (this.#matches(step, command.out) || performance.now() > end) return this.#check(step, command, text)
    }
  }

  #check(step: Step, command: RunningCommand, text: string): void {
    for (const [name, pattern] of Object.entries(step.keep ?? {})) {
      const found = new RegExp(this.#fill(pattern)).exec(command.out)?.[1]
      assert.ok(found !== undefined, `etcdctl ${text}: ${pattern} is not in\n${command.out}`)
      this.#variables.set(name, found)
    }
    if (step.out !== undefined) assert.equal(normalise(command.out), this.#fill(step.out), `etcdctl ${text}`)
    if (step.match !== undefined)
      assert.match(command.out, new RegExp(this.#fill(step.match)), `etcdctl ${text}`)
    if (step.err !== undefined) assert.ok(command.err.includes(step.err), `etcdctl ${text}\n${command.err}`)
    const said = command.out + command.err
    if (step.says !== undefined) assert.ok(said.includes(step.says), `etcdctl ${text}\n${said}`)
  }

  /** Whether a command that goes on has said what is expected of it. */
  #matches(step: Step, out: string): boolean {
    if (step.out !== undefined) return normalise(out).length >= this.#fill(step.out).length
    return new RegExp(this.#fill(step.match ?? '')).test(out)
  }

  #fill(text: string): string {
    return text.replace(/\$([A-Z]+)/g, (_, name: string) => {
      const value = this.#variables.get(name)
      assert.ok(value !== undefined, `$${name} is not set`)
      return value
    })
  }
}

class RunningCommand {
  out = ''
  err = ''
  readonly #child: ChildProcess
  readonly #exit: Promise<number>
  #exited = false
  #changed: () => void = () => undefined

  constructor(endpoints: readonly string[], words: readonly string[], stdin: string) {
    const given = words.some((word) => word.startsWith('--endpoints'))
    const args = given ? words : [`--endpoints=${endpoints.join(',')}`, ...words]
    this.#child = spawn('etcdctl', args, { env: { ...process.env, ETCDCTL_API: '3' } })
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.out += chunk.toString()
      this.#changed()
    })
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.err += chunk.toString()
    })
    this.#child.stdin?.on('error', () => undefined)
    // An interactive command ends with its input; a watch must keep it open.
    if (stdin !== '') this.#child.stdin?.end(stdin)
    this.#exit = new Promise((resolve, reject) => {
      this.#child.once('error', (error) => reject(new Error(`etcdctl cannot be run: ${error.message}`)))
      this.#child.once('close', (code) => {
        this.#exited = true
        this.#changed()
        resolve(code ?? -1)
      })
    })
    this.#exit.catch(() => undefined)
  }

  async ended(deadlineMs: number): Promise<number> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), deadlineMs)
    try {
      return await this.#exit
    } finally {
      clearTimeout(timer)
    }
  }

  async until(satisfied: (out: string) => boolean, deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs
    while (!satisfied(this.out)) {
      const left = end - performance.now()
      if (this.#exited || left <= 0) throw new Error(`not said: got\n${this.out}${this.err}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#changed = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  async stop(signal: 'SIGINT' | 'SIGKILL'): Promise<void> {
    if (!this.#exited) this.#child.kill(signal)
    await this.#exit.catch(() => undefined)
  }
}

/** Ids of the cluster, terms and times are not the product's to promise. */
function normalise(out: string): string {
  return out
    .replace(/"(cluster_id|member_id|raft_term)":\d+/g, '"$1":0')
    .replace(/took = [\d.]+[µm]?s/g, 'took = T')
    .replace(/"(ClusterID|MemberID|RaftTerm)" : \d+/g, '"$1" : 0')
}

/** Words at blanks; single quotes hold a word together. */
function splitWords(text: string): string[] {
  return [...text.matchAll(/'([^']*)'|\S+/g)].map((match) => match[1] ?? match[0])
}
