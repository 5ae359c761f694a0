import { assert } from '../base/index.ts'

/**
 * The static Huffman code of RFC 7541, Appendix B. It is canonical: codes are counted up in the order of their length
 * and, within one length, of their symbol; so the lengths are all there is to know. Symbol 256 ends a string and never
 * stands in one.
 */
const codeLengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
  8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
  28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
  22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
  22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
  25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
]
const endOfString = 256

// The decoder is a table of transitions, four bits at a time: no code is shorter than five, so that each step yields a
// symbol at most. A transition is `next state << 10 | has a symbol << 9 | fails << 8 | symbol`.
const hasSymbol = 0x200
const fails = 0x100
const transitions: Uint32Array = buildTransitions()
/** States in which a string may end: inside a run of ones shorter than a byte, which is the padding (section 5.2). */
const mayEnd: Uint8Array = endStates()

/**
 * The bytes that were coded, in `target` from its start; answers their count, or -1 when the code is broken: the end
 * symbol inside, padding of a whole byte, padding that is not ones. `target` has room for 8/5 of what comes in.
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number, target: Uint8Array): number {
  assert(target.length >= huffmanDecodedMax(end - start), 'a decoded string has room')
  let state = 0
  let count = 0
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    const first = transitions[(state << 4) | (byte >>> 4)] as number
    if ((first & hasSymbol) !== 0) target[count++] = first
    const second = transitions[((first >>> 10) << 4) | (byte & 15)] as number
    if (((first | second) & fails) !== 0) return -1
    if ((second & hasSymbol) !== 0) target[count++] = second
    state = second >>> 10
  }
  return mayEnd[state] === 1 ? count : -1
}

/** The longest string that so many coded bytes can hold: the shortest code has five bits. */
export function huffmanDecodedMax(codedBytes: number): number {
  return Math.ceil((codedBytes * 8) / 5)
}

interface Tree {
  /** Per inner node: what follows a 0 and a 1. A leaf is -1 - symbol. */
  readonly children: number[][]
}

function buildTree(): Tree {
  const children: number[][] = [[0, 0]]
  const symbols = codeLengths.map((_, symbol) => symbol)
  const lengthOf = (symbol: number): number => codeLengths[symbol] as number
  symbols.sort((left, right) => lengthOf(left) - lengthOf(right) || left - right)
  let code = 0
  let codeLength = 0
  for (const symbol of symbols) {
    code *= 2 ** (lengthOf(symbol) - codeLength)
    codeLength = lengthOf(symbol)
    addLeaf(children, code, codeLength, symbol)
    code++
  }
  return { children }
}

function addLeaf(children: number[][], code: number, length: number, symbol: number): void {
  let node = 0
  for (let bit = length - 1; bit > 0; bit--) {
    const branches = children[node] as number[]
    const branch = (code >>> bit) & 1
    if (branches[branch] === 0) {
      branches[branch] = children.length
      children.push([0, 0])
    }
    node = branches[branch] as number
  }
  const last = children[node] as number[]
  last[code & 1] = -1 - symbol
}

function buildTransitions(): Uint32Array {
  const { children } = buildTree()
  assert(children.length === codeLengths.length - 1, 'a complete code has one inner node less than symbols')
  const table = new Uint32Array(children.length * 16)
  for (let state = 0; state < children.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) table[(state << 4) | nibble] = walk(children, state, nibble)
  }
  return table
}

function walk(children: number[][], state: number, nibble: number): number {
  let node = state
  let found = 0
  for (let bit = 3; bit >= 0; bit--) {
    const next = (children[node] as number[])[(nibble >>> bit) & 1] as number
    if (next >= 0) {
      node = next
      continue
    }
    const symbol = -1 - next
    if (symbol === endOfString) return fails
    found = hasSymbol | symbol
    node = 0
  }
  return (node << 10) | found
}

function endStates(): Uint8Array {
  const { children } = buildTree()
  const states = new Uint8Array(children.length)
  let node = 0
  for (let ones = 0; ones < 8; ones++) {
    states[node] = 1
    node = (children[node] as number[])[1] as number
  }
  return states
}
