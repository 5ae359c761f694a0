import { equalBytes, SeededRandom } from '../../src/base/index.ts'
import { inputBytesMax, mutate, noise } from './mutate.ts'
import { type FuzzTarget, type Outcome, tryInput } from './target.ts'

export interface Finding {
  readonly target: string
  readonly what: string
  readonly input: Uint8Array
}

/** Inputs with a signature of their own that are kept for further changes. */
const poolMax = 400
/** Findings of one target after which it is left alone: they are mostly the same. */
const findingsMax = 5

/** One target under one seed: the same seed gives the same inputs. */
export class Fuzzer {
  readonly target: FuzzTarget
  readonly findings: Finding[] = []
  inputs = 0
  refused = 0
  readonly #random: SeededRandom
  readonly #pool: Uint8Array[]
  readonly #signatures = new Set<string>()

  constructor(target: FuzzTarget, seed: number, corpus: readonly Uint8Array[] = []) {
    this.target = target
    this.#random = new SeededRandom(seed)
    this.#pool = [...target.seeds, ...corpus]
  }

  get isDone(): boolean {
    return this.findings.length >= findingsMax
  }

  /** Signatures seen: how many ways there are through the decoder, roughly. */
  get ways(): number {
    return this.#signatures.size
  }

  /** The inputs that showed something new, without the seeds. */
  get kept(): readonly Uint8Array[] {
    return this.#pool.slice(this.target.seeds.length)
  }

  /** Every seed as it is, and cut at every byte. */
  async begin(note?: (input: Uint8Array) => void): Promise<void> {
    for (const seed of [...this.#pool]) {
      note?.(seed)
      const outcome = await this.#try(seed)
      if (outcome.kind === 'refused' && this.target.write !== undefined && this.target.seeds.includes(seed)) {
        // A message that says no is a seed too, but nothing that an encoder wrote may be malformed.
        if (outcome.signature.startsWith('frame-malformed'))
          this.#report('refuses what the encoder wrote', seed)
      }
      for (let size = 0; size < Math.min(seed.length, 200); size++) {
        const cut = seed.subarray(0, size)
        note?.(cut)
        await this.#try(cut)
      }
    }
  }

  async step(note?: (input: Uint8Array) => void): Promise<void> {
    const input = this.#next()
    note?.(input)
    const outcome = await this.#try(input)
    if (outcome.kind === 'finding' || this.#signatures.has(outcome.signature)) return
    this.#signatures.add(outcome.signature)
    if (this.#pool.length < poolMax) this.#pool.push(input)
  }

  #next(): Uint8Array {
    const random = this.#random
    if (random.chance(0.01)) return noise(random, random.pick([0, 1, 8, 64, 1000]))
    const changed = mutate(random, random.pick(this.#pool), random.pick(this.#pool))
    const { seal } = this.target
    return seal !== undefined && random.chance(0.5) ? seal(changed).subarray(0, inputBytesMax) : changed
  }

  async #try(input: Uint8Array): Promise<Outcome> {
    this.inputs++
    const outcome = await tryInput(this.target, input)
    if (outcome.kind === 'finding') this.#report(outcome.what, await this.#shrink(input, outcome.what))
    else if (outcome.kind === 'refused') this.refused++
    return outcome
  }

  #report(what: string, input: Uint8Array): void {
    if (this.findings.some((known) => known.what === what || equalBytes(known.input, input))) return
    this.findings.push({ target: this.target.name, what, input })
  }

  /** Takes parts away as long as the same goes wrong; not where every try takes long. */
  async #shrink(input: Uint8Array, what: string): Promise<Uint8Array> {
    if (what.startsWith('takes')) return input
    let smallest = input
    for (let size = smallest.length >> 1; size > 0; size >>= 1) {
      for (let at = 0; at + size <= smallest.length; ) {
        const shorter = new Uint8Array(smallest.length - size)
        shorter.set(smallest.subarray(0, at))
        shorter.set(smallest.subarray(at + size), at)
        const outcome = await tryInput(this.target, shorter)
        if (outcome.kind === 'finding' && outcome.what.slice(0, 30) === what.slice(0, 30)) smallest = shorter
        else at += size
      }
    }
    return smallest
  }
}
