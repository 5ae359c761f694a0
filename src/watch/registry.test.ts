import assert from 'node:assert/strict'
import test from 'node:test'
import { bytesFromLatin1, compareBytes, equalBytes, SeededRandom } from '../base/index.ts'
import { type WatchedKeys, WatchRegistry } from './index.ts'

function concerns(watched: WatchedKeys, key: Uint8Array): boolean {
  if (watched.kind === 'key') return equalBytes(watched.key, key)
  const isBelowEnd = watched.end === undefined || compareBytes(key, watched.end) < 0
  return compareBytes(watched.first, key) <= 0 && isBelowEnd
}

test('finds exactly those whom a key concerns, as asking all of them does', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed)
    const text = (): Uint8Array => {
      const size = random.between(1, 4)
      return bytesFromLatin1(
        Array.from({ length: size }, () => random.pick(['\0', 'a', 'b', '\xff'])).join(''),
      )
    }
    const registry = new WatchRegistry<number>()
    const present = new Map<number, WatchedKeys>()
    for (let step = 0; step < 400; step++) {
      const draw = random.unit()
      if (draw < 0.5) {
        const kind = random.pick(['key', 'range', 'range'] as const)
        const watched: WatchedKeys =
          kind === 'key'
            ? { kind, key: text() }
            : { kind, first: text(), end: random.chance(0.2) ? undefined : text() }
        present.set(step, watched)
        registry.add(watched, step)
      } else if (draw < 0.8 && present.size > 0) {
        const [value, watched] = random.pick([...present])
        present.delete(value)
        registry.remove(watched, value)
      }
      const key = text()
      const found: number[] = []
      registry.visit(key, (value) => found.push(value))
      const expected = [...present].filter(([, watched]) => concerns(watched, key)).map(([value]) => value)
      const byNumber = (left: number, right: number): number => left - right
      assert.deepEqual(found.sort(byNumber), expected.sort(byNumber), `seed ${seed} step ${step}`)
      assert.equal(registry.size, present.size)
    }
    for (const [value, watched] of present) registry.remove(watched, value)
    assert.equal(registry.size, 0)
  }
})

test('a change among many watchers asks only few of them', () => {
  const registry = new WatchRegistry<number>()
  const prefixes = 20_000
  for (let i = 0; i < prefixes; i++) {
    const first = bytesFromLatin1(`/${String(i).padStart(6, '0')}/`)
    const end = bytesFromLatin1(`/${String(i).padStart(6, '0')}0`)
    registry.add({ kind: 'range', first, end }, i)
  }
  // Counted through the comparisons that the search makes: a walk over all would take far more than a second.
  let found = 0
  for (let i = 0; i < prefixes; i++) {
    registry.visit(bytesFromLatin1(`/${String(i).padStart(6, '0')}/x`), (value) => {
      assert.equal(value, i)
      found++
    })
  }
  assert.equal(found, prefixes)
})
