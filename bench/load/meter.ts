import { processorMs } from '../../test/support/processes.ts'

/** Where the server is, and by which process it is served: its processor time is read from the kernel. */
export interface Target {
  readonly host: string
  readonly port: number
  readonly serverPid?: number
}

export interface Usage {
  /** Share of one processor that the load itself took. Near 1, it is the load that was measured. */
  readonly generatorBusy: number
  /** The same of the server, all threads together: 2 are two processors. NaN when its process is not known. */
  readonly serverBusy: number
}

/** Processor time of this process and of the server from `begin` to `end`. */
export class Meter {
  readonly #serverPid: number | undefined
  #beginMs = 0
  #own = process.cpuUsage()
  #serverMs = 0

  constructor(serverPid: number | undefined) {
    this.#serverPid = serverPid
  }

  begin(): void {
    this.#serverMs = this.#server()
    this.#own = process.cpuUsage()
    this.#beginMs = performance.now()
  }

  end(): Usage {
    const elapsedMs = performance.now() - this.#beginMs
    const { user, system } = process.cpuUsage(this.#own)
    return {
      generatorBusy: share((user + system) / 1_000, elapsedMs),
      serverBusy: share(this.#server() - this.#serverMs, elapsedMs),
    }
  }

  #server(): number {
    return this.#serverPid === undefined ? Number.NaN : processorMs(this.#serverPid)
  }
}

function share(part: number, whole: number): number {
  return Math.round((part / whole) * 1_000) / 1_000
}
