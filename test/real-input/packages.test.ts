import assert from 'node:assert/strict'
import test from 'node:test'
import { type DebianPackage, parseStanzas } from './packages.ts'

async function parse(text: string): Promise<DebianPackage[]> {
  async function* lines(): AsyncGenerator<string> {
    yield* text.split('\n')
  }
  const found: DebianPackage[] = []
  for await (const one of parseStanzas(lines())) found.push(one)
  return found
}

test('stanzas, continuation lines and colons inside a text', async () => {
  const text =
    'Package: a\nVersion: 1:2.0-3\nDescription: short\n long one\n .\n end\n\nPackage: b\nTag: x::y,\n z::w\n'
  assert.deepEqual(await parse(text), [
    {
      name: 'a',
      fields: [
        { name: 'Package', value: 'a' },
        { name: 'Version', value: '1:2.0-3' },
        { name: 'Description', value: 'short\n long one\n .\n end' },
      ],
    },
    {
      name: 'b',
      fields: [
        { name: 'Package', value: 'b' },
        { name: 'Tag', value: 'x::y,\n z::w' },
      ],
    },
  ])
})

test('a stanza without a package name is no package; broken lines are refused', async () => {
  assert.deepEqual(await parse('Origin: x\n\n\n'), [])
  await assert.rejects(parse(' continued\n'), /without a field/)
  await assert.rejects(parse('Package: a\nnonsense\n'), /no field/)
})
