// What the worker processes load of the product, from the tree under test.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const tree = process.env.QUORATE_TREE ?? join(import.meta.dirname, '../..')
const load = async <Module>(path: string): Promise<Module> =>
  (await import(pathToFileURL(join(tree, path)).href)) as Module

export const server: typeof import('../../src/server/index.ts') = await load('src/server/index.ts')
export const base: typeof import('../../src/base/index.ts') = await load('src/base/index.ts')
