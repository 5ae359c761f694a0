import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ServerNode } from '../test/support/servers.ts'
import { withDeadline } from './load/control.ts'
import type { Target } from './load/meter.ts'
import type { ScenarioName, Scenarios } from './load/scenarios.ts'

const endDeadlineMs = 300_000

/** A scenario of the load in a process of its own, so that no load waits for the work of another. */
export class Generator<Name extends ScenarioName> {
  /** Resolves when it counts. */
  readonly begun: Promise<void>
  readonly #report: Promise<Scenarios[Name]['report']>
  readonly #child: ChildProcess
  static readonly #running = new Set<ChildProcess>()

  constructor(name: Name, plan: Scenarios[Name]['plan']) {
    const path = fileURLToPath(new URL('load/process.ts', import.meta.url))
    const child = spawn(process.execPath, [path, name, JSON.stringify(plan)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child = child
    Generator.#running.add(child)
    child.once('close', () => Generator.#running.delete(child))
    const begun = Promise.withResolvers<void>()
    let out = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      if (out.startsWith('begun\n')) begun.resolve()
    })
    this.#report = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        if (code === 0) resolve(JSON.parse(out.slice(out.indexOf('\n') + 1)) as Scenarios[Name]['report'])
        else reject(new Error(`the load ${name} ended with code ${code}`))
      })
    })
    this.#report.catch((error: unknown) => begun.reject(error))
    begun.promise.catch(() => undefined)
    this.begun = begun.promise
  }

  /** Whether it goes on; what has ended tells in `report` how. */
  get isRunning(): boolean {
    return Generator.#running.has(this.#child)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Ends every load that a measurement has left behind. */
  static killAll(): void {
    for (const child of Generator.#running) child.kill('SIGKILL')
  }

  /** Resolves when the load has ended by itself. */
  async report(): Promise<Scenarios[Name]['report']> {
    try {
      return await withDeadline(this.#report, endDeadlineMs, () => 'the load did not end')
    } finally {
      this.#child.kill('SIGKILL')
    }
  }

  /** Stops it; resolves with its report. */
  async stop(): Promise<Scenarios[Name]['report']> {
    this.#child.stdin?.end()
    return await this.report()
  }
}

export function targetOf(node: ServerNode): Required<Target> {
  const [host = '', port = ''] = node.endpoint.split(/:(?=\d+$)/)
  return { host, port: Number(port), serverPid: node.servingPid() }
}
