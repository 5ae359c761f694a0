// A small fixed number of inputs for every decoder, the corpus, and decoders with planted bugs that must be found.
import assert from 'node:assert/strict'
import test from 'node:test'
import { ByteReader, ByteWriter, QuorateError } from '../../src/base/index.ts'
import { corpusNames, readCorpus } from './corpus.ts'
import { Fuzzer } from './fuzzer.ts'
import { type FuzzTarget, tryInput } from './target.ts'
import { allTargets } from './targets.ts'

const targets = await allTargets()
/** What reads through a simulated disk takes a hundred times as long. */
const inputsOf = ({ name }: FuzzTarget): number => (/log\.open|snapshot|identity|hard/.test(name) ? 60 : 400)

test('every decoder reads or refuses what its encoder wrote, cut and changed', async () => {
  assert.ok(targets.length >= 60, String(targets.length))
  for (const target of targets) {
    const fuzzer = new Fuzzer(target, 1)
    await fuzzer.begin()
    for (let i = 0; i < inputsOf(target); i++) await fuzzer.step()
    assert.deepEqual(fuzzer.findings, [], target.name)
  }
})

test('the corpus: inputs that went a way of their own, or found something once', async () => {
  const names = targets.map(({ name }) => name)
  assert.deepEqual(
    corpusNames().filter((name) => !names.includes(name)),
    [],
    'each file of the corpus belongs to a target',
  )
  for (const target of targets) {
    for (const input of readCorpus(target.name)) {
      const outcome = await tryInput(target, input)
      assert.notEqual(outcome.kind, 'finding', `${target.name}: ${JSON.stringify(outcome)}`)
    }
  }
})

test('the same seed gives the same inputs', async () => {
  const target = targets.find(({ name }) => name === 'peer.message') as FuzzTarget
  const run = async (seed: number): Promise<string[]> => {
    const seen: string[] = []
    const fuzzer = new Fuzzer(target, seed)
    for (let i = 0; i < 200; i++) await fuzzer.step((input) => seen.push(input.join()))
    return seen
  }
  assert.deepEqual(await run(7), await run(7))
  assert.notDeepEqual(await run(7), await run(8))
})

/** varint size | bytes | u8 even number: a decoder in which one line can be wrong. */
interface Sample {
  readonly bytes: Uint8Array
  readonly even: number
}
const encodeSample = ({ bytes, even }: Sample): Uint8Array => {
  const writer = new ByteWriter()
  writer.sized(bytes)
  writer.u8(even)
  return writer.copy()
}
const decodeSample = (input: Uint8Array): Sample => {
  const reader = new ByteReader(input)
  const sample = { bytes: reader.sized(), even: reader.u8() }
  reader.finish('a sample')
  if (sample.even % 2 !== 0) throw new QuorateError('frame-malformed', `${sample.even} is not even`)
  return sample
}
const sample: FuzzTarget = {
  name: 'sample',
  seeds: [encodeSample({ bytes: new Uint8Array(5), even: 4 })],
  read: decodeSample,
  write: encodeSample,
  refusals: ['frame-malformed'],
}

/** What fuzzing finds in a decoder within so many inputs. */
async function findingsIn(change: Partial<FuzzTarget>, inputs = 20_000): Promise<string[]> {
  const fuzzer = new Fuzzer({ ...sample, ...change }, 1)
  await fuzzer.begin()
  for (let i = 0; i < inputs && fuzzer.findings.length === 0; i++) await fuzzer.step()
  return fuzzer.findings.map(({ what }) => what)
}

const planted: readonly [string, Partial<FuzzTarget>, RegExp][] = [
  [
    'a missing check of bounds',
    {
      read: (input) => ({
        ...decodeSample(input),
        tail: new DataView(input.buffer).getUint8(6 + (input[0] ?? 0)),
      }),
    },
    /^throws RangeError/,
  ],
  [
    'a code that is not of the list',
    {
      read: (input) => {
        if (input.length === 3) throw new QuorateError('stopped', 'by accident')
        return decodeSample(input)
      },
    },
    /^throws QuorateError: by accident/,
  ],
  [
    'a length that is believed before it is checked',
    {
      read: (input) => {
        const size = new ByteReader(input).varint()
        if (size < 2 ** 31) new Uint8Array(size)
        return decodeSample(input)
      },
    },
    /^allocates \d+ MiB/,
  ],
  [
    'time that goes with a number in the input',
    {
      read: (input) => {
        const steps = Math.min(2 ** 28, new ByteReader(input).varint())
        let sum = 0
        for (let i = 0; i < steps; i++) sum = Math.imul(sum + i, 7)
        return sum === 1 ? undefined : decodeSample(input)
      },
    },
    /^takes \d+ ms/,
  ],
  [
    'an encoder that forgets a bit',
    { write: (value: Sample) => encodeSample({ ...value, even: value.even & 0x7f }) },
    /^reads something else from what it wrote/,
  ],
  [
    'an encoder that writes what the decoder refuses',
    { write: (value: Sample) => encodeSample({ ...value, even: value.bytes.length }) },
    /^does not read what it wrote/,
  ],
]
for (const [name, change, expected] of planted) {
  test(`a planted bug is found: ${name}`, async () => {
    const findings = await findingsIn(change)
    assert.match(findings[0] ?? 'nothing found', expected)
  })
}

test('the decoder without a planted bug passes as many inputs', async () => {
  assert.deepEqual(await findingsIn({}), [])
})

test('a finding is made smaller as long as the same goes wrong', async () => {
  const read = (input: Uint8Array): unknown => {
    if (input.includes(0xff)) throw new Error('byte 255')
    return undefined
  }
  const fuzzer = new Fuzzer({ name: 'bytes', seeds: [new Uint8Array(50)], read, refusals: [] }, 1)
  for (let i = 0; i < 5_000 && fuzzer.findings.length === 0; i++) await fuzzer.step()
  assert.deepEqual(fuzzer.findings[0]?.input, Uint8Array.of(0xff))
})
