import type { SeededRandom } from '../../src/base/index.ts'

/** No input is larger: what a length claims beyond it must be refused, not believed. */
export const inputBytesMax: number = 64 * 1024

/** Where off-by-one and sign mistakes live, as little-endian, big-endian and variable-length numbers. */
const edges: readonly number[] = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
  0x1f_ffff_ffff_ffff, 0x20_0000_0000_0000,
]
const edgeBytes: readonly Uint8Array[] = edges.flatMap((edge) => [
  fixed(edge, 4, false),
  fixed(edge, 4, true),
  fixed(edge, 8, false),
  varint(edge),
])
/** A number written longer than it has to be, and one that never ends. */
const oddVarints: readonly Uint8Array[] = [
  Uint8Array.of(0x80, 0x00),
  Uint8Array.of(0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01),
  new Uint8Array(10).fill(0xff),
  new Uint8Array(11).fill(0x80),
]

type Mutation = (random: SeededRandom, input: Uint8Array, other: Uint8Array) => Uint8Array

const mutations: readonly Mutation[] = [
  flipBit,
  flipBit,
  setByte,
  overwriteWithEdge,
  overwriteWithEdge,
  (random, input) => insert(input, at(random, input), random.pick(edgeBytes)),
  (random, input) => insert(input, at(random, input), random.pick(oddVarints)),
  (random, input) => input.subarray(0, at(random, input)),
  removePart,
  repeatPart,
  splice,
  (random, input) => insert(input, at(random, input), noise(random, 1 + random.between(0, 16))),
]

/** One to four changes, one after the other; `other` lends its parts. The result is at most `inputBytesMax` long. */
export function mutate(random: SeededRandom, input: Uint8Array, other: Uint8Array): Uint8Array {
  let changed = input
  for (let count = random.pick([1, 1, 2, 4]); count > 0; count--) {
    changed = random.pick(mutations)(random, changed, other)
  }
  return changed.length > inputBytesMax ? changed.subarray(0, inputBytesMax) : changed
}

export function noise(random: SeededRandom, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, () => random.between(0, 256))
}

function at(random: SeededRandom, input: Uint8Array): number {
  return random.between(0, input.length + 1)
}

function flipBit(random: SeededRandom, input: Uint8Array): Uint8Array {
  if (input.length === 0) return input
  const changed = input.slice()
  const position = random.between(0, input.length)
  changed[position] = (input[position] as number) ^ (1 << random.between(0, 8))
  return changed
}

function setByte(random: SeededRandom, input: Uint8Array): Uint8Array {
  if (input.length === 0) return input
  const changed = input.slice()
  changed[random.between(0, input.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.between(0, 256)])
  return changed
}

function overwriteWithEdge(random: SeededRandom, input: Uint8Array): Uint8Array {
  if (input.length === 0) return input
  const changed = input.slice()
  const position = random.between(0, input.length)
  changed.set(random.pick(edgeBytes).subarray(0, input.length - position), position)
  return changed
}

function removePart(random: SeededRandom, input: Uint8Array): Uint8Array {
  const first = at(random, input)
  const end = Math.min(input.length, first + 1 + random.between(0, 16))
  return concat(input.subarray(0, first), input.subarray(end))
}

function repeatPart(random: SeededRandom, input: Uint8Array): Uint8Array {
  const first = at(random, input)
  const end = Math.min(input.length, first + 1 + random.between(0, 64))
  let changed = input
  for (let count = random.pick([1, 1, 2, 50]); count > 0; count--) {
    changed = insert(changed, first, input.subarray(first, end))
  }
  return changed
}

function splice(random: SeededRandom, input: Uint8Array, other: Uint8Array): Uint8Array {
  return concat(input.subarray(0, at(random, input)), other.subarray(at(random, other)))
}

function insert(input: Uint8Array, position: number, part: Uint8Array): Uint8Array {
  return concat(input.subarray(0, position), part, input.subarray(position))
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let position = 0
  for (const part of parts) {
    whole.set(part, position)
    position += part.length
  }
  return whole
}

function fixed(value: number, size: number, isBigEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(size)
  let rest = value
  for (let i = 0; i < size; i++) {
    bytes[isBigEndian ? size - 1 - i : i] = rest % 256
    rest = Math.floor(rest / 256)
  }
  return bytes
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}
