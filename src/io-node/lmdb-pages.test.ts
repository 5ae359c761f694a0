import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { isQuorateError, SeededRandom } from '../base/index.ts'
import { tableNames } from '../store/index.ts'
import { prepareDataFile } from './lmdb-file.ts'
import {
  headerBytes,
  nodeHeaderBytes,
  pageKinds,
  type Root,
  readStartRoot,
  readU64,
  viewOf,
} from './lmdb-layout.ts'
import { openLmdbStore } from './lmdb-store.ts'

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))
console.log(`lmdb pages: SEED=${seed}`)

/** A store with two levels of pages, large values and free pages, as its library wrote it. */
let written: Uint8Array
let directory: string
let copies = 0

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quorate-lmdb-'))
  const path = join(directory, 'whole')
  const store = await openLmdbStore(path)
  const random = new SeededRandom(1)
  for (let n = 0; n < 8; n++) {
    const keys = new Set(Array.from({ length: 40 }, () => `key ${100 + random.between(0, 300)}`))
    const changes = [...keys].sort().map((key, i) => {
      const size = i % 10 === 0 ? random.between(5_000, 20_000) : random.between(0, 300)
      return { key: Buffer.from(key), value: random.chance(0.3) ? undefined : new Uint8Array(size).fill(n) }
    })
    await store.commit([{ table: 'history', changes }])
  }
  await store.close()
  written = await readFile(join(path, 'data.mdb'))
})

after(() => rm(directory, { recursive: true }))

/** A copy of the store's file, with what stands where in it. */
class Copy {
  readonly bytes = Uint8Array.from(written)
  readonly view = viewOf(this.bytes)
  readonly pageSize = this.view.getUint32(48, true)
  readonly root: Root = readStartRoot('a copy', this.bytes, this.pageSize)

  /** Where the i-th node of a page begins. */
  node(page: number, i: number): number {
    const start = page * this.pageSize + headerBytes
    return start + this.view.getUint16(start + 2 * i, true)
  }

  /** Where the data of the i-th node of a leaf begin. */
  data(page: number, i: number): number {
    const at = this.node(page, i)
    return at + nodeHeaderBytes + this.view.getUint16(at + 6, true)
  }

  /** Where the record of the tree of `history` stands. Its name comes behind that of `about`. */
  get tree(): number {
    return this.data(this.root.main.firstPage ?? 0, 1)
  }

  /** The first page of that tree, a branch. */
  get branch(): number {
    return readU64(this.view, this.tree + 40)
  }

  /** Its first leaf. */
  get leaf(): number {
    return this.view.getUint32(this.node(this.branch, 0), true)
  }

  /** A node of the first leaf whose value stands beside its key. */
  get small(): number {
    return this.node(this.leaf, this.#nodeOfKind(0))
  }

  /** The data of one whose value has pages of its own. */
  get large(): number {
    return this.data(this.leaf, this.#nodeOfKind(1))
  }

  get freePage(): number {
    return this.root.freePages.firstPage ?? 0
  }

  #nodeOfKind(kind: number): number {
    const count = this.view.getUint16(this.leaf * this.pageSize + 20, true) / 2
    const kinds = Array.from({ length: count }, (_, i) =>
      this.view.getUint16(this.node(this.leaf, i) + 4, true),
    )
    assert.ok(kinds.includes(kind))
    return kinds.indexOf(kind)
  }

  async write(): Promise<string> {
    const path = join(directory, `copy-${copies++}`)
    await mkdir(path)
    await writeFile(join(path, 'data.mdb'), this.bytes)
    return path
  }
}

const changes: readonly [string, (copy: Copy) => void, RegExp][] = [
  [
    'a branch leads behind the file',
    (copy) => copy.view.setUint32(copy.node(copy.branch, 1), 1e6, true),
    /pages that do not exist/,
  ],
  [
    'a branch leads to itself',
    (copy) => copy.view.setUint32(copy.node(copy.branch, 1), copy.branch, true),
    /a page that is in use/,
  ],
  [
    'a branch leads to a page of another tree',
    (copy) => copy.view.setUint32(copy.node(copy.branch, 1), copy.root.main.firstPage ?? 0, true),
    /a page that is in use/,
  ],
  [
    'a key of a branch is too small for what lies before it',
    (copy) =>
      copy.bytes.fill(
        0,
        copy.node(copy.branch, 1) + nodeHeaderBytes,
        copy.node(copy.branch, 1) + nodeHeaderBytes + 1,
      ),
    /not in order/,
  ],
  [
    'a leaf says that it is a branch',
    (copy) => copy.view.setUint16(copy.leaf * copy.pageSize + 18, pageKinds.branch, true),
    /another page/,
  ],
  [
    'a page is newer than its root',
    (copy) => copy.view.setUint32(copy.leaf * copy.pageSize + 8, copy.root.transaction + 1, true),
    /newer than its root/,
  ],
  [
    'a page has more places than there are',
    (copy) => copy.view.setUint16(copy.leaf * copy.pageSize + 20, copy.pageSize - 2, true),
    /no such places/,
  ],
  [
    'a node stands in the header of its page',
    (copy) => copy.view.setUint16(copy.leaf * copy.pageSize + headerBytes, 0, true),
    /a node is outside of it/,
  ],
  [
    'a key is empty',
    (copy) => {
      // As much as the key has less the value has more.
      const keySize = copy.view.getUint16(copy.small + 6, true)
      copy.view.setUint32(copy.small, copy.view.getUint32(copy.small, true) + keySize, true)
      copy.view.setUint16(copy.small + 6, 0, true)
    },
    /a key is empty/,
  ],
  [
    'a key is longer than its page',
    (copy) => copy.view.setUint16(copy.node(copy.leaf, 0) + 6, 60_000, true),
    /a key is outside/,
  ],
  [
    'data are longer than their page',
    (copy) => copy.view.setUint16(copy.small + 2, 1, true),
    /data are outside/,
  ],
  [
    'data are a little longer than they were',
    (copy) => {
      const at = copy.small
      copy.view.setUint16(at, copy.view.getUint16(at, true) ^ 2, true)
    },
    /do not fill their place/,
  ],
  [
    'two places are one node',
    (copy) => {
      const at = copy.leaf * copy.pageSize + headerBytes
      copy.view.setUint16(at + 2, copy.view.getUint16(at, true), true)
    },
    /not in order/,
  ],
  [
    'a large value lies behind the file',
    (copy) => copy.view.setUint32(copy.large, 1e6, true),
    /pages that do not exist/,
  ],
  [
    'a large value has fewer pages than it needs',
    (copy) => copy.view.setUint32(copy.large + 16, 1, true),
    /too few pages/,
  ],
  [
    'a large value lies where a page of another kind is',
    (copy) => {
      const first = readU64(copy.view, copy.large)
      copy.view.setUint16(first * copy.pageSize + 18, pageKinds.leaf, true)
    },
    /another page/,
  ],
  [
    'a page in use is also free',
    (copy) => copy.view.setBigInt64(copy.data(copy.freePage, 0) + 8, BigInt(copy.leaf), true),
    /a free page is part of a tree/,
  ],
  [
    'a free page is behind the last one',
    (copy) => copy.view.setBigInt64(copy.data(copy.freePage, 0) + 8, 1_000_000n, true),
    /what is free is no page/,
  ],
  [
    'a list of free pages is longer than its data',
    (copy) => copy.view.setUint32(copy.data(copy.freePage, 0), 100_000, true),
    /a free list is cut/,
  ],
  [
    'a list of free pages ends within a pair',
    (copy) => {
      const at = copy.data(copy.freePage, 0)
      copy.view.setBigUint64(at, 1n, true)
      copy.view.setBigInt64(at + 8, -1n, true)
    },
    /a free list is cut/,
  ],
  ['a tree has another depth', (copy) => copy.view.setUint16(copy.tree + 6, 1, true), /another page/],
  [
    'a tree is deeper than the library can go',
    (copy) => copy.view.setUint16(copy.tree + 6, 33, true),
    /no such depth/,
  ],
  [
    'a tree has no pages and a depth',
    (copy) => copy.view.setBigUint64(copy.tree + 40, 2n ** 64n - 1n, true),
    /no such depth/,
  ],
  [
    'the name of a tree leads to a value',
    (copy) => copy.view.setUint16(copy.node(copy.root.main.firstPage ?? 0, 1) + 4, 0, true),
    /a tree has no record/,
  ],
  [
    'a value is a tree',
    (copy) => copy.view.setUint16(copy.small + 4, 2, true),
    /a node is of an unknown kind/,
  ],
  [
    'the keys of a branch are not in order',
    (copy) => {
      const at = copy.branch * copy.pageSize + headerBytes
      const second = copy.view.getUint16(at + 2, true)
      copy.view.setUint16(at + 2, copy.view.getUint16(at + 4, true), true)
      copy.view.setUint16(at + 4, second, true)
    },
    /its keys are not in order/,
  ],
  [
    'a large value says that it has more pages',
    (copy) => copy.view.setUint32(readU64(copy.view, copy.large) * copy.pageSize + 20, 900, true),
    /another number of pages/,
  ],
  [
    'a tree has more entries',
    (copy) => copy.view.setUint32(copy.tree + 32, 9_999, true),
    /not as many entries/,
  ],
  [
    'a tree holds several values for one key',
    (copy) => copy.view.setUint16(copy.tree + 4, 4, true),
    /unknown flags/,
  ],
  [
    'the last page of a root is beyond what can be mapped',
    (copy) => copy.view.setUint32(144 + 4, 0x1000, true),
    /a size that cannot be/,
  ],
  [
    'the last page is behind the file',
    (copy) => {
      for (const at of [0, copy.pageSize / 2, copy.pageSize]) copy.view.setUint32(at + 144, 100_000, true)
    },
    /behind all there are/,
  ],
  [
    'the roots differ in their page size',
    (copy) => copy.view.setUint32(copy.pageSize / 2 + 48, 2 * copy.pageSize, true),
    /another page size/,
  ],
  [
    'the main tree has other keys',
    (copy) => copy.view.setUint16(100, 2, true),
    /main tree with unknown flags/,
  ],
  [
    'a root has a transaction that nobody can count to',
    (copy) => copy.view.setUint32(copy.pageSize + 152 + 4, 2 ** 31, true),
    /a transaction that cannot be/,
  ],
  ['a root says that it is encrypted', (copy) => copy.view.setUint16(52, 0x2808, true), /unknown flags/],
  ['a root is a page of another kind', (copy) => copy.view.setUint16(18, 0, true), /it is no root/],
]

for (const [name, change, text] of changes) {
  test(`refused before the library ends the process: ${name}`, async () => {
    const copy = new Copy()
    change(copy)
    const path = await copy.write()
    await assert.rejects(openLmdbStore(path), (error) => {
      assert.ok(isQuorateError(error, 'data-damaged'), String(error))
      assert.match(error.message, text)
      return true
    })
  })
}

test('the pages of a store that an orderly end vouches for are not read', async () => {
  const copy = new Copy()
  // The number that a page says it has: the library itself does not look at it.
  copy.view.setUint32(copy.leaf * copy.pageSize, 1, true)
  const path = await copy.write()
  await assert.rejects(openLmdbStore(path), (error) => isQuorateError(error, 'data-damaged'))
  const store = await openLmdbStore(path, { isVouchedFor: true })
  await store.close()
})

test('with any bit of its structure changed a store is refused as damaged, or the library survives it', async () => {
  const random = new SeededRandom(seed)
  const accepted: string[] = []
  let refused = 0
  for (let n = 0; n < 60; n++) {
    const copy = new Copy()
    const page = random.between(0, copy.root.lastPage + 1)
    const places = page < 2 ? 144 : copy.view.getUint16(page * copy.pageSize + 20, true)
    const at = page * copy.pageSize + random.between(0, Math.min(headerBytes + places, copy.pageSize))
    copy.bytes[at] = (copy.bytes[at] ?? 0) ^ (1 << random.between(0, 8))
    const path = await copy.write()
    try {
      await prepareDataFile(path, false)
      accepted.push(path)
    } catch (error) {
      assert.ok(isQuorateError(error, 'data-damaged'), `byte ${at}: ${String(error)}`)
      refused++
    }
  }
  assert.ok(refused > 0 && accepted.length > 0, `${refused} of 60 refused`)
  const child = spawn(process.execPath, ['--input-type=module', '--eval', useAll, JSON.stringify(accepted)], {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

/** Opens stores, reads all there is, writes, empties them. */
const useAll = `
  import { openLmdbStore } from '${new URL('./lmdb-store.ts', import.meta.url)}'
  for (const path of JSON.parse(process.argv[1])) {
    const store = await openLmdbStore(path)
    for (const table of ${JSON.stringify(tableNames)}) for (const { key } of store.range(table, {})) store.get(table, key)
    const value = new Uint8Array(3_000)
    const changes = Array.from({ length: 30 }, (_, i) => ({ key: Buffer.from('key ' + (100 + 7 * i)), value }))
    await store.commit([{ table: 'history', changes }])
    await store.commit([{ table: 'history', changes: changes.map(({ key }) => ({ key, value: undefined })) }])
    await store.clear()
    await store.close()
  }`
