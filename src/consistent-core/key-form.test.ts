import assert from 'node:assert/strict'
import test from 'node:test'
import { afterForm, orderedForm } from './key-form.ts'

test('the bound above a form is its own, also when the form is a Buffer of the store', () => {
  const form = Buffer.from(orderedForm(Uint8Array.of(0x61)))
  assert.deepEqual([...afterForm(form)], [0x61, 0, 1])
  assert.deepEqual([...form], [0x61, 0, 0])
})
