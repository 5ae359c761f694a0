// A client that only writes, at one node, and does not wait long: gaps are measured by it, so its patience must not be
// in them.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Seat } from './cluster.ts'
import { Connection, type Recorder } from './recorder.ts'

const patienceMs = 500
const pauseMs = 10

export class Probe {
  readonly name: string
  readonly #seat: Seat
  readonly #recorder: Recorder
  #isStopped = false

  constructor(seat: Seat, recorder: Recorder) {
    this.name = `probe ${seat.name}`
    this.#seat = seat
    this.#recorder = recorder
  }

  stop(): void {
    this.#isStopped = true
  }

  async run(): Promise<void> {
    let connection = new Connection(this.#seat)
    for (let number = 1; !this.#isStopped; number++) {
      const value = `${this.name} ${number}`
      const request = { kind: 'put', key: keyOfProbe(this.#seat.place), value, lease: 0n } as const
      const client = { name: this.name, connection }
      const answer = await this.#recorder.call(client, request, { deadlineMs: patienceMs })
      if (answer.code !== 0) {
        connection.close()
        connection = new Connection(this.#seat)
      }
      await sleep(pauseMs)
    }
    connection.close()
  }
}

/** Before the drawn keys: no drawn request changes it. */
export function keyOfProbe(place: number): string {
  return `g${place}`
}
