// Runs readable case files: "command args", "----", expected output, blank line. REWRITE=1 writes the actual
// output back, so that a change of behaviour is reviewed as a diff.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

export type CaseCommand = { name: string; args: string[]; line: number }
export type CaseHandler = (command: CaseCommand) => string | Promise<string>

/** One test a file of `folder`; each file gets a handler of its own from `createHandler`. */
export function runTestdata(folder: string, createHandler: () => CaseHandler): void {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
  assert.ok(files.length > 0, `${folder} holds no case files`)
  for (const file of files) {
    test(`${folder}/${file}`, async () => {
      const path = join(folder, file)
      const before = readFileSync(path, 'utf8')
      const after = await replay(before, createHandler())
      if (process.env.REWRITE === '1') writeFileSync(path, after)
      else assert.equal(after, before)
    })
  }
}

export async function replay(text: string, handle: CaseHandler): Promise<string> {
  const output: string[] = []
  const lines = text.split('\n')
  let commands = 0
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? ''
    output.push(line)
    if (line === '' || line.startsWith('#')) continue
    assert.equal(lines[i + 1], '----', `line ${i + 2}: expected ----`)
    const [name = '', ...args] = line.split(/\s+/)
    const result = (await handle({ name, args, line: i + 1 })).trimEnd()
    commands++
    output.push('----', ...(result === '' ? [] : [result]), '')
    while (i + 1 < lines.length && lines[i + 1] !== '') i++
    i++
  }
  assert.ok(commands > 0, 'the case file runs no command')
  return output.join('\n')
}
