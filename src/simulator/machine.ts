import { assert, present, type SeededRandom } from '../base/index.ts'
import { type Disk, type Entropy, type Maybe, type Network, never, type Time } from '../io/index.ts'
import { createSimulatedDisk, type SimulatedDisk } from './disk.ts'
import { createSimulatedEntropy } from './entropy.ts'
import type { SimulatedNetwork } from './network.ts'
import { SimulatedProcess } from './process.ts'
import type { Scheduler } from './scheduler.ts'
import { createSimulatedTime, MachineClock } from './time.ts'

/** All of `io` that a program on a simulated machine gets. */
export interface MachineWorld {
  readonly disk: Disk
  readonly network: Network
  readonly time: Time
  readonly entropy: Entropy
  readonly maybe: Maybe
}

/** A machine: a disk and clocks that outlive programs, a place in the network, and at most one program. */
export class SimulatedMachine {
  readonly name: string
  readonly disk: SimulatedDisk
  readonly clock: MachineClock
  readonly #scheduler: Scheduler
  readonly #network: SimulatedNetwork
  readonly #random: SeededRandom
  readonly #maybe: Maybe
  #process: SimulatedProcess | undefined

  constructor(options: {
    name: string
    scheduler: Scheduler
    network: SimulatedNetwork
    random: SeededRandom
    /** Default: never. */
    maybe?: Maybe
  }) {
    this.name = options.name
    this.#scheduler = options.scheduler
    this.#network = options.network
    this.#random = options.random
    this.#maybe = options.maybe ?? never
    this.disk = createSimulatedDisk({ random: options.random.fork(), scheduler: options.scheduler })
    // Machines disagree about both clocks from the start.
    this.clock = new MachineClock(options.scheduler, {
      monotonicStartMs: options.random.between(0, 1_000_000),
      wallStartMs: 1_700_000_000_000 + options.random.between(-60_000, 60_000),
    })
  }

  /** Whether a program runs here (a paused one does). */
  get isRunning(): boolean {
    return this.#process !== undefined
  }

  get isPaused(): boolean {
    return this.#process?.isPaused === true
  }

  /** Whether anything was delivered to the program since this was last asked; false where none runs. */
  takeActivity(): boolean {
    return this.#process?.takeActivity() === true
  }

  /** The program of the present life, for whoever delivers to it. */
  get process(): SimulatedProcess {
    return present(this.#process, `a program runs on ${this.name}`)
  }

  /** Begins the life of a program. */
  boot(): MachineWorld {
    const process = new SimulatedProcess(this.#scheduler)
    const network = this.#network.attach(this.name, process)
    this.#process = process
    return {
      disk: this.disk.mount((callback) => process.deliver(callback)),
      network,
      time: createSimulatedTime({ clock: this.clock, process, random: this.#random.fork() }),
      entropy: createSimulatedEntropy(this.#random.fork()),
      maybe: this.#maybe,
    }
  }

  /** Power cut: what is not durable may be lost, the others hear nothing. */
  crash(): void {
    this.#process?.end()
    this.#process = undefined
    this.#network.powerFailed(this.name)
    this.disk.crash()
  }

  /** The program dies or has ended; disk cache and network stack of the machine live on. */
  kill(): void {
    if (this.#process === undefined) return
    this.#process.end()
    this.#process = undefined
    this.#network.processDied(this.name)
    this.disk.kill()
  }

  /** An empty disk in the place of the old one, while no program runs. */
  wipe(): void {
    assert(this.#process === undefined, `no program runs on ${this.name}`)
    this.disk.wipe()
  }

  pause(): void {
    this.#process?.pause()
  }

  resume(): void {
    this.#process?.resume()
  }
}
