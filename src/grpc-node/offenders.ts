import type { Time } from '../io/index.ts'

const rememberedCountMax = 1_000
/** An address is forgiven one fault in so long. */
const forgivenEveryMs = 1_000
/** What counts of faults that were not forgiven: a client behind the same address is to connect before its patience ends. */
const faultsMax = 10
const delayMsPerFault = 100
const keptMsPerFault = 1_000

interface Offence {
  /** Faults that were not forgiven at `atMs`, with fractions. */
  readonly faults: number
  readonly atMs: number
}

/**
 * Addresses whose clients broke a rule of HTTP/2 a moment ago. Who floods is back with a new connection at once, each of which
 * takes as long as a hundred requests. The more faults come from an address, the longer a connection that broke a rule is kept,
 * the later its new connections begin, and the sooner they have done too much. A client that shares the address waits when it
 * connects, and may at first change its mind less often.
 */
export class Offenders {
  readonly #time: Time
  /** By address, the one with the oldest fault first. */
  readonly #offences = new Map<string, Offence>()

  constructor(time: Time) {
    this.#time = time
  }

  /** A fault of a client there. How long its connection is kept, unread. */
  add(address: string | undefined): number {
    if (address === undefined) return keptMsPerFault
    const faults = Math.min(faultsMax, this.#faultsOf(address) + 1)
    this.#offences.delete(address)
    this.#offences.set(address, { faults, atMs: this.#time.monotonicMs() })
    if (this.#offences.size > rememberedCountMax) {
      const [oldest] = this.#offences.keys()
      this.#offences.delete(oldest as string)
    }
    return faults * keptMsPerFault
  }

  /** By how much a connection from there begins later. Asked for by name only when there is anybody to remember. */
  delayMsOf(peer: { readonly remoteAddress?: string | undefined }): number {
    if (this.#offences.size === 0 || peer.remoteAddress === undefined) return 0
    return this.#faultsOf(peer.remoteAddress) * delayMsPerFault
  }

  /** The share of patience that a connection from there begins with: all of it, half after a fault, a third after two. */
  patienceWith(peer: { readonly remoteAddress?: string | undefined }): number {
    if (this.#offences.size === 0 || peer.remoteAddress === undefined) return 1
    return 1 / (1 + this.#faultsOf(peer.remoteAddress))
  }

  #faultsOf(address: string): number {
    const offence = this.#offences.get(address)
    if (offence === undefined) return 0
    const faults = offence.faults - (this.#time.monotonicMs() - offence.atMs) / forgivenEveryMs
    if (faults > 0) return faults
    this.#offences.delete(address)
    return 0
  }
}
