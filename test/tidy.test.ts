// Checks properties of the code base itself. The room table and the exceptions in docs/ARCHITECTURE.md are
// the input, so that document and code cannot differ. Every check first asserts that it saw something.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import test from 'node:test'
import { lineOf, longFunctions, maskNonCode, specifiersOf } from './tidy/source.ts'

const lineLengthMax = 130
const functionLinesMax = 120
/** What the checks must at least have seen. Raise them as the code base grows; never lower them to pass. */
const sourceFilesMin = 25
const roomsMin = 15
const relativeImportsMin = 20
const documentsMin = 2
const patternRowsMin = 60

/** Files that something outside the import graph starts. */
const entryPoint = /^src\/(index|testing|[a-z-]+\/(main|worker|[a-z-]+-worker))\.ts$/

/** Names of the world: clock, timers, randomness, network, process. Banned in pure and async rooms alike. */
const worldGlobals = [
  'Date',
  'Temporal',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'queueMicrotask',
  'requestIdleCallback',
  'crypto',
  'console',
  'fetch',
  'Worker',
  'MessageChannel',
  'BroadcastChannel',
  'WebSocket',
  'EventSource',
  'XMLHttpRequest',
  'structuredClone',
  'navigator',
  'localStorage',
  'globalThis',
  'global',
  'require',
  'eval',
  'Buffer',
  'Atomics',
  'SharedArrayBuffer',
  'WeakRef',
  'FinalizationRegistry',
  'Intl',
]

type Rule = { name: string; pattern: RegExp }

const worldRules: Rule[] = [
  // Neither a property (`x.process`) nor a key or a method signature of that name.
  ...worldGlobals.map((name) => ({ name, pattern: new RegExp(`(?<![.\\w$#])${name}\\b(?!\\??:)`, 'g') })),
  // Only members of Node's own object: a simulated process may well be called that.
  {
    name: 'process',
    pattern:
      /(?<![.\w$#])process\.(nextTick|env|argv|exit|hrtime|memoryUsage|std\w+|on|once|kill|pid|cwd|uptime|platform)\b/g,
  },
  { name: 'Math.random', pattern: /\bMath\.random\b/g },
  { name: 'AbortSignal.timeout', pattern: /\bAbortSignal\.timeout\b/g },
  { name: 'import.meta', pattern: /\bimport\.meta\b/g },
  { name: 'locale', pattern: /\.(localeCompare|toLocale\w+)\b/g },
]

const asyncRules: Rule[] = [
  { name: 'async', pattern: /(?<![.\w$#])async\b(?!\??:)/g },
  { name: 'await', pattern: /(?<![.\w$#])await\b/g },
  { name: 'Promise', pattern: /\bnew Promise\b|\bPromise\s*\.\s*\w+/g },
  { name: '.then', pattern: /\.then\s*\(/g },
]

const everywhereRules: Rule[] = [
  {
    name: 'any',
    pattern: /(?:[:<|&,(=]\s*|\bas\s+|\bis\s+|\bkeyof\s+|\bextends\s+|=>\s*)any\b(?!\s*[:(.=])|\bany\s*\[\]/g,
  },
  // A reader, and a measurement of what assertions cost, takes them for questions.
  { name: 'assertion that does something', pattern: /\bassert\([^\n]*\.(?:delete|push|shift|pop|splice)\(/g },
  { name: 'default export', pattern: /\bexport\s+default\b|\bexport\s*\{[^}]*\bas\s+default\b/g },
  { name: 'export *', pattern: /\bexport\s+(type\s+)?\*/g },
  { name: 'enum', pattern: /(?:^|\n)\s*(export\s+)?(declare\s+)?(const\s+)?enum\s+\w/g },
  { name: 'namespace', pattern: /(?:^|\n)\s*(export\s+)?(declare\s+)?namespace\s+\w/g },
  {
    name: 'compiler directive',
    pattern: /@ts-(ignore|nocheck|expect-error)|biome-ignore(?! [\w/]+(?:\([^)]*\))?: \S)/g,
  },
]

/** Written in two halves so that this file does not contain them. */
const bannedWords: Rule[] = [
  { name: 'open end', pattern: new RegExp(`${['TO', 'DO|FIX', 'ME|X', 'XX'].join('')}\\b`, 'g') },
  { name: 'machine path', pattern: new RegExp(['/wo', 'rk/|/home/', '\\w|/Us', 'ers/\\w'].join(''), 'g') },
]
const temporaryPath: Rule = { name: 'machine path', pattern: new RegExp(['/tm', 'p\\b'].join(''), 'g') }

type Room = { kind: 'pure' | 'async' | 'platform'; mayImport: Set<string> }
type Exception = { file: string; rule: string; reason: string }

const architecture = readFileSync('docs/ARCHITECTURE.md', 'utf8')
const rooms = readRooms(architecture)
const exceptions = readExceptions(architecture)
const usedExceptions = new Set<Exception>()

const sourceFiles = filesBelow('src', '.ts').filter((path) => !isTest(path))
const allTypeScript = ['src', 'test', 'testing', 'bench'].flatMap((folder) => filesBelow(folder, '.ts'))
const documents = [
  ...filesBelow('docs', '.md'),
  ...readdirSync('.').filter((name) => name.endsWith('.md')),
].sort()
const texts = new Map(allTypeScript.map((path) => [path, readFileSync(path, 'utf8')]))
const masked = new Map([...texts].map(([path, text]) => [path, maskNonCode(text)]))

test('the checks see the code base', () => {
  assert.ok(sourceFiles.length >= sourceFilesMin, `only ${sourceFiles.length} files in src`)
  assert.ok(rooms.size >= roomsMin, `only ${rooms.size} rooms in the table`)
  assert.ok(documents.length >= documentsMin, `only ${documents.length} documents`)
})

test('every file is in a room of the table', (t) => {
  const present = new Set(sourceFiles.map(roomOf))
  const unknown = [...present].filter((room) => !rooms.has(room))
  assert.deepEqual(unknown, [], 'rooms that docs/ARCHITECTURE.md does not list')
  const missing = [...rooms.keys()].filter((room) => !present.has(room))
  if (missing.length > 0) t.diagnostic(`rooms of the table without a file yet: ${missing.join(' ')}`)
  for (const [name, room] of rooms) {
    for (const other of room.mayImport)
      assert.ok(rooms.has(other), `${name} may import unknown room ${other}`)
  }
})

test('rooms import only what the table allows, and only through index.ts', () => {
  const errors: string[] = []
  let seen = 0
  for (const path of sourceFiles) {
    const room = roomOf(path)
    const rules = rooms.get(room)
    if (rules === undefined) continue
    for (const specifier of specifiersOf(textOf(path))) {
      const target = resolveImport(path, specifier)
      if (target === undefined) continue
      seen++
      if (!target.startsWith('src/')) {
        errors.push(`${path}: imports ${target} outside src`)
        continue
      }
      const other = roomOf(target)
      if (!existsSync(target)) errors.push(`${path}: imports ${target}, which does not exist`)
      if (other === room) continue
      if (!rules.mayImport.has(other)) errors.push(`${path}: ${room} must not import ${other}`)
      else if (other !== 'root' && target !== `src/${other}/index.ts`) {
        errors.push(`${path}: imports ${target} instead of ${other}/index.ts`)
      }
    }
  }
  assert.ok(seen >= relativeImportsMin, `only ${seen} relative imports seen`)
  assert.deepEqual(errors, [])
})

test('rooms do not import each other in a circle', () => {
  // Kahn's rule on the table itself: what cannot be taken away is a circle.
  const left = new Map([...rooms].map(([name, room]) => [name, new Set(room.mayImport)]))
  for (let removed = true; removed; ) {
    removed = false
    for (const [name, needs] of left) {
      if ([...needs].some((need) => left.has(need))) continue
      left.delete(name)
      removed = true
    }
  }
  assert.deepEqual([...left.keys()], [])
})

test('pure rooms know no world and no waiting; async rooms know no world', () => {
  const errors: string[] = []
  let checked = 0
  for (const path of sourceFiles) {
    const kind = rooms.get(roomOf(path))?.kind
    if (kind === undefined || kind === 'platform') continue
    checked++
    for (const specifier of specifiersOf(textOf(path))) {
      if (!specifier.startsWith('.')) errors.push(`${path}: ${kind} room imports ${specifier}`)
    }
    const rules = kind === 'pure' ? [...worldRules, ...asyncRules] : worldRules
    errors.push(...violations(path, maskedOf(path), rules))
  }
  assert.ok(checked > 0, 'no pure or async file seen')
  assert.deepEqual(errors, [])
})

test('no any, default export, export *, enum, namespace, silenced check or assertion that does something', () => {
  const errors = allTypeScript.flatMap((path) => {
    const directives = everywhereRules.filter((rule) => rule.name === 'compiler directive')
    const others = everywhereRules.filter((rule) => rule.name !== 'compiler directive')
    // Directives live in comments, so they are looked for in the text; this file names them.
    const inText = path === 'test/tidy.test.ts' ? [] : violations(path, textOf(path), directives)
    return [...violations(path, maskedOf(path), others), ...inText]
  })
  assert.deepEqual(errors, [])
})

test('no open ends and no paths of one machine', () => {
  const errors: string[] = []
  for (const path of allTypeScript) {
    const mayUseTemporary = isTest(path) || path.startsWith('test/') || path.startsWith('bench/')
    const rules = mayUseTemporary ? bannedWords : [...bannedWords, temporaryPath]
    errors.push(...violations(path, textOf(path), rules))
  }
  for (const path of documents) errors.push(...violations(path, readFileSync(path, 'utf8'), bannedWords))
  assert.deepEqual(errors, [])
})

test(`lines have at most ${lineLengthMax} characters, functions at most ${functionLinesMax} lines`, () => {
  const errors: string[] = []
  for (const path of allTypeScript) {
    textOf(path)
      .split('\n')
      .forEach((line, i) => {
        if (line.length > lineLengthMax) errors.push(`${path}:${i + 1}: ${line.length} characters`)
      })
    if (isTest(path)) continue
    for (const found of longFunctions(maskedOf(path), functionLinesMax)) {
      if (excepted(path, 'function length')) continue
      errors.push(`${path}:${found.line}: a function of ${found.lines} lines`)
    }
  }
  assert.deepEqual(errors, [])
})

test('no file in src is dead', (t) => {
  const imported = new Set<string>()
  for (const path of sourceFiles) {
    for (const specifier of specifiersOf(textOf(path))) {
      const target = resolveImport(path, specifier)
      if (target !== undefined) imported.add(target)
    }
  }
  // A room that has no index.ts yet is under construction: its files are listed, not judged.
  const unfinished = [...rooms.keys()].filter(
    (room) => room !== 'root' && existsSync(`src/${room}`) && !existsSync(`src/${room}/index.ts`),
  )
  if (unfinished.length > 0) t.diagnostic(`rooms without index.ts: ${unfinished.join(' ')}`)
  const dead = sourceFiles.filter(
    (path) =>
      !imported.has(path) &&
      !entryPoint.test(path) &&
      !path.endsWith('/index.ts') &&
      !unfinished.includes(roomOf(path)) &&
      !(roomOf(path) === 'cli' && imported.size === 0),
  )
  assert.deepEqual(dead, [])
})

test('every relative link of the documents leads somewhere', () => {
  const errors: string[] = []
  for (const path of documents) {
    for (const { target, line } of linksOf(path)) {
      const [file = '', anchor] = target.split('#', 2)
      const resolved = file === '' ? path : normalize(join(dirname(path), decodeURI(file)))
      if (!existsSync(resolved)) errors.push(`${path}:${line}: ${target} does not exist`)
      else if (anchor !== undefined && anchor !== '' && resolved.endsWith('.md')) {
        if (!anchorsOf(resolved).has(anchor)) errors.push(`${path}:${line}: no heading for ${target}`)
      }
    }
  }
  assert.deepEqual(errors, [])
})

test('every page of docs/formats is linked', (t) => {
  const pages = filesBelow('docs/formats', '.md').filter((path) => path !== 'docs/formats/README.md')
  if (pages.length === 0) t.diagnostic('docs/formats holds no page yet')
  const linked = new Set<string>()
  for (const source of ['docs/formats/README.md', 'docs/ARCHITECTURE.md'].filter((path) =>
    existsSync(path),
  )) {
    for (const { target } of linksOf(source))
      linked.add(normalize(join(dirname(source), target.split('#')[0] ?? '')))
  }
  assert.deepEqual(
    pages.filter((page) => !linked.has(page)),
    [],
  )
})

test('every test that docs/compatibility/patterns.md names exists, and what is not proven says where it will be', () => {
  const errors: string[] = []
  const rows = readFileSync('docs/compatibility/patterns.md', 'utf8').match(/^\| [A-Z]+-\d .*$/gm) ?? []
  for (const row of rows) {
    const [, id = '', , proof = ''] = row.split('|').map((cell) => cell.trim())
    // A file, and behind it the tests in it that are meant: `file` "name", "name"
    const named = [...proof.matchAll(/`([^`]+\/[^`]+)`((?:,? "[^"]+")*)/g)]
    for (const [, path = '', quoted = ''] of named) {
      const names = [...quoted.matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? '')
      if (!existsSync(path)) errors.push(`${id}: ${path} does not exist`)
      else if (path.endsWith('.test.ts') && names.length === 0)
        errors.push(`${id}: no test of ${path} is named`)
      else
        for (const name of names)
          if (!textOf(path).includes(name)) errors.push(`${id}: ${path} has no "${name}"`)
    }
    if (/partly|unproven/.test(proof) ? !/later: (Proof|Speed) /.test(proof) : named.length === 0)
      errors.push(`${id}: neither a test nor the stage that is to bring one`)
  }
  assert.ok(rows.length >= patternRowsMin, `only ${rows.length} rows`)
  assert.deepEqual(errors, [])
})

test('every exception in docs/ARCHITECTURE.md is still needed', () => {
  for (const exception of exceptions) {
    assert.ok(existsSync(exception.file), `exception for ${exception.file}, which does not exist`)
    assert.ok(exception.reason.length > 10, `exception for ${exception.file} gives no reason`)
  }
  const unused = exceptions.filter((exception) => !usedExceptions.has(exception))
  assert.deepEqual(
    unused.map((exception) => `${exception.file}: ${exception.rule}`),
    [],
  )
})

function readRooms(text: string): Map<string, Room> {
  const found = new Map<string, Room>()
  for (const [name, kind, mayImport] of tableRows(text, 'Rooms')) {
    if (name === undefined || mayImport === undefined) continue
    assert.ok(kind === 'pure' || kind === 'async' || kind === 'platform', `room ${name}: kind "${kind}"`)
    assert.ok(!found.has(name), `room ${name} is listed twice`)
    found.set(name, { kind, mayImport: new Set(mayImport.split(/\s+/).filter((word) => word !== '')) })
  }
  return found
}

function readExceptions(text: string): Exception[] {
  return tableRows(text, 'Exceptions').map(([file = '', rule = '', reason = '']) => ({
    file: file.replaceAll('`', ''),
    rule: rule.replaceAll('`', ''),
    reason,
  }))
}

/** The cells of the rows of the first table below the heading, without header and ruler. */
function tableRows(text: string, heading: string): string[][] {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.startsWith('#') && line.includes(heading))
  if (start === -1) return []
  const rest = lines.slice(start + 1)
  const end = rest.findIndex((line) => line.startsWith('## '))
  return rest
    .slice(0, end === -1 ? rest.length : end)
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
}

function violations(path: string, text: string, rules: readonly Rule[]): string[] {
  const found: string[] = []
  for (const rule of rules) {
    for (const match of text.matchAll(rule.pattern)) {
      if (isSignature(text, match.index, match[0])) continue
      if (excepted(path, rule.name)) continue
      found.push(`${path}:${lineOf(text, match.index)}: ${rule.name} (${match[0].trim()})`)
    }
  }
  return found
}

/** Whether the match is the name of a method declared here, such as `  fetch(first: number): Entry[] {`. */
function isSignature(text: string, at: number, name: string): boolean {
  const lineStart = text.lastIndexOf('\n', at) + 1
  const before = text.slice(lineStart, at)
  if (!/^\s+((static|readonly|override|get|set|async)\s+)*$/.test(before)) return false
  const after = text.slice(at + name.length)
  return /^(<[^(]*>)?\([^()]*\)\s*(:|\{)/.test(after)
}

function excepted(path: string, rule: string): boolean {
  const found = exceptions.find((exception) => exception.file === path && exception.rule === rule)
  if (found !== undefined) usedExceptions.add(found)
  return found !== undefined
}

function linksOf(path: string): { target: string; line: number }[] {
  // Code blocks and code spans hold no links; blanked so that positions stay.
  const text = readFileSync(path, 'utf8').replace(/```[\s\S]*?```|`[^`\n]*`/g, (code) =>
    code.replace(/[^\n]/g, ' '),
  )
  return [...text.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)]
    .map((match) => ({ target: match[1] ?? '', line: lineOf(text, match.index) }))
    .filter(({ target }) => !/^[a-z][a-z+.-]*:/i.test(target))
}

/** Anchors as code hosts make them from headings: lower case, punctuation dropped, spaces to hyphens. */
function anchorsOf(path: string): Set<string> {
  const headings = readFileSync(path, 'utf8').matchAll(/^#+\s+(.*)$/gm)
  return new Set(
    [...headings].map((match) =>
      (match[1] ?? '')
        .trim()
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replace(/\s/g, '-'),
    ),
  )
}

function resolveImport(path: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : undefined
}

/** The folder below src, or `root` for the files directly in it. */
function roomOf(path: string): string {
  const parts = path.split('/')
  return parts.length > 2 ? (parts[1] ?? '') : 'root'
}

function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.includes('/testdata/') || path.includes('/testing/')
}

function filesBelow(folder: string, ending: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => path.endsWith(ending) && statSync(path).isFile())
    .sort()
}

function textOf(path: string): string {
  const text = texts.get(path)
  assert.ok(text !== undefined, `${path} was not read`)
  return text
}

function maskedOf(path: string): string {
  const text = masked.get(path)
  assert.ok(text !== undefined, `${path} was not read`)
  return text
}
