import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom, utf8Encode } from '../base/index.ts'
import { createMemoryBackend, createStore, type TableName } from '../store/index.ts'
import { encodeLiveRow, encodePut, revisionKey } from './rows.ts'
import { Tables } from './tables.ts'
import { stepBack, type Version } from './versions.ts'

/** The versions of one key. Whoever looks at more of them than there are goes round, and would not end. */
class FewVersions extends Tables {
  #unseen: number

  /** Each with the version that it names as the one before it. */
  constructor(versions: readonly (readonly [Version, Version | undefined])[]) {
    const schedule = (): Promise<void> => Promise.reject(new Error('nothing is flushed'))
    super(createStore(createMemoryBackend({ schedule, random: new SeededRandom(1) })))
    this.#unseen = versions.length
    const record = { isPut: true, key: utf8Encode('key'), value: new Uint8Array(), lease: 0n }
    for (const [{ revision, sub }, before] of versions) {
      const fields = { createRevision: 2, version: 1, lease: 0n }
      const old = before && encodeLiveRow({ modRevision: before.revision, sub: before.sub, ...fields })
      this.putRevision(revisionKey(revision, sub), encodePut({ ...record, ...fields }, old))
    }
  }

  override peek(table: TableName, key: Uint8Array): Uint8Array | undefined {
    if (this.#unseen-- === 0) throw new Error('it goes round')
    return super.peek(table, key)
  }
}

const at = (revision: number, sub = 0): Version => ({ revision, sub })

test('versions are stepped back to the one that is visible, within a revision too', () => {
  const versions = [
    [at(9), at(7, 1)],
    [at(7, 1), at(7)],
    [at(7), at(2)],
    [at(2), undefined],
  ] as const
  assert.deepEqual(stepBack(new FewVersions(versions), at(9), 8), at(7, 1))
  assert.deepEqual(stepBack(new FewVersions(versions), at(9), 6), at(2))
  assert.equal(stepBack(new FewVersions(versions), at(9), 1), undefined)
})

test('a version that names itself or a later one as the one before it is damage, and no way without end', () => {
  const damaged = [
    [[at(7), at(7)]],
    [
      [at(7), at(7, 1)],
      [at(7, 1), at(7)],
    ],
    [
      [at(7), at(9)],
      [at(9), at(7)],
    ],
  ] as const
  for (const versions of damaged)
    assert.throws(
      () => stepBack(new FewVersions(versions), at(7), 2),
      /a version comes after the one before it/,
    )
})
