import assert from 'node:assert/strict'
import test from 'node:test'
import { longFunctions, maskNonCode, specifiersOf } from './source.ts'

test('comments, strings, templates and regular expressions are blanked, code inside templates stays', () => {
  const text = [
    'const a = 1 // Date',
    'const b = \'Date\' + "it\'s \\" Date"',
    'const c = `Date #{Date.now()} Date #{`Date #{d}`} Date`'.replaceAll('#', '$'),
    '/* Date',
    'Date */ const e = x / y / Date',
    'const f = /[/]Date/.test(x)',
  ].join('\n')
  const masked = maskNonCode(text)
  assert.equal(masked.length, text.length)
  assert.equal(masked.split('\n').length, 6)
  const dates = [...masked.matchAll(/Date/g)].map((match) => match.index)
  assert.deepEqual(dates, [text.indexOf('Date.now'), text.lastIndexOf('/ Date') + 2])
  assert.match(masked, /\$\{ *d *\}|\{d\}/)
})

test('specifiers of every form of import are found, and those in comments are not', () => {
  const text = [
    "import { a } from './a.ts'",
    "import './b.ts'",
    "export { c } from './c.ts'",
    "const d = await import('./d.ts')",
    "new Worker(new URL('./e.ts', import.meta.url))",
    'import {',
    '  f,',
    "} from './f.ts'",
    "// import { g } from './g.ts'",
    'const h = "from \'./h.ts\'"',
  ].join('\n')
  assert.deepEqual(specifiersOf(text), ['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts', './f.ts'])
})

test('long functions are found in every form; long classes, types and statements are not functions', () => {
  const body = Array.from({ length: 12 }, (_, i) => `  x${i}()`).join('\n')
  const count = (text: string): number => longFunctions(maskNonCode(text), 10).length
  assert.equal(count(`function f(a: number): void {\n${body}\n}`), 1)
  assert.equal(count(`export async function f(\n  a: number,\n): Promise<{ a: number }> {\n${body}\n}`), 1)
  assert.equal(count(`const f = (a: number) => {\n${body}\n}`), 1)
  assert.equal(count(`class A {\n  #a = 1\n  method(a: () => void): { b: string } {\n${body}\n  }\n}`), 1)
  assert.equal(count(`test('x', () => {\n${body}\n})`), 1)
  assert.equal(count(`class A {\n${body}\n}`), 0)
  assert.equal(count(`const table = {\n${body}\n}`), 0)
  assert.equal(count(`export type T = {\n${body}\n}`), 0)
  assert.equal(count(`if (a) {\n${body}\n} else {\n${body}\n}`), 0)
  assert.equal(count(`for (const a of b()) {\n${body}\n}\nwhile (f(a)) {\n${body}\n}`), 0)
  assert.equal(count(`function f(): void {\n  g()\n}`), 0)
})
