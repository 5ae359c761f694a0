// How a sweep starts a node on what a life left: as a process of its own, or quicker in one process for many directories.
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { ProcessNode } from '../processes/harness.ts'
import { Life } from './life.ts'
import type { Order, Reply } from './open-worker.ts'

const replyDeadlineMs = 60_000
const saidMax = 2_000

export interface Opener {
  /** Until it serves. Throws when it does not. */
  open(node: ProcessNode): Promise<void>
  /** Throws when it had failed meanwhile. */
  close(node: ProcessNode): Promise<void>
  /** What it wrote last. */
  said(node: ProcessNode): string
}

/** The program itself. */
export const asProcess: Opener = {
  open: (node) => new Life(node).start(),
  async close(node) {
    await node.end('SIGKILL')
  },
  said: (node) => node.program.stderr.slice(-saidMax),
}

/**
 * The same start without a new process: a tenth of the processor time. No directory may be opened twice, lmdb knows its
 * environments by their path. One node at a time.
 */
export class WorkerOpener implements Opener {
  #process: ChildProcess | undefined
  #said = ''

  async open(node: ProcessNode): Promise<void> {
    this.#said = ''
    await this.#order({ how: 'open', arguments: node.arguments })
  }

  async close(): Promise<void> {
    if (this.#process !== undefined) await this.#order({ how: 'close' })
  }

  said(): string {
    return this.#said
  }

  /** For good. */
  end(): void {
    this.#process?.removeAllListeners()
    this.#process?.kill('SIGKILL')
    this.#process = undefined
  }

  async #order(order: Order): Promise<void> {
    const child = this.#process?.connected === true ? this.#process : this.#start()
    this.#process = child
    const reply = await new Promise<Reply>((resolve) => {
      const settle = (value: Reply): void => {
        clearTimeout(timer)
        child.removeAllListeners()
        resolve(value)
      }
      const lose = (text: string): void => {
        settle({ how: 'failed', text })
        this.end()
      }
      const timer = setTimeout(() => lose('no reply'), replyDeadlineMs)
      child.once('message', (message) => settle(message as Reply))
      child.once('exit', (code, signal) => lose(`its process ended with code ${code}, signal ${signal}`))
      child.send(order)
    })
    if (reply.how !== 'failed') return
    throw new Error(`${reply.text}\n${this.#said}`)
  }

  #start(): ChildProcess {
    const child = fork(join(import.meta.dirname, 'open-worker.ts'), {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-saidMax)
    })
    return child
  }
}
