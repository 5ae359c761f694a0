// Command lines of the scripts here: `--name value`, `--name=value`, `--name` alone for a switch, and words without a name.

export class Arguments {
  readonly #values = new Map<string, string>()
  readonly #known = new Set<string>()
  readonly #words: string[] = []
  #wordsAreKnown = false
  readonly #usage: string

  constructor(usage: string, argv: readonly string[] = process.argv.slice(2)) {
    this.#usage = usage
    if (argv.includes('--help')) {
      console.log(usage)
      process.exit(0)
    }
    for (let i = 0; i < argv.length; i++) {
      const word = argv[i] ?? ''
      if (!word.startsWith('--')) {
        this.#words.push(word)
        continue
      }
      const [name = '', inline] = splitOnce(word.slice(2), '=')
      const next = argv[i + 1]
      if (inline !== undefined) this.#values.set(name, inline)
      else if (next !== undefined && !next.startsWith('--')) {
        this.#values.set(name, next)
        i++
      } else this.#values.set(name, 'true')
    }
  }

  text(name: string, otherwise?: string): string {
    this.#known.add(name)
    const value = this.#values.get(name) ?? otherwise
    if (value === undefined) this.fail(`--${name} is missing`)
    return value
  }

  maybe(name: string): string | undefined {
    this.#known.add(name)
    return this.#values.get(name)
  }

  number(name: string, otherwise: number): number {
    const value = Number(this.text(name, String(otherwise)))
    if (!Number.isSafeInteger(value)) this.fail(`--${name} is no whole number`)
    return value
  }

  flag(name: string): boolean {
    return this.text(name, 'false') === 'true'
  }

  list(name: string, otherwise: string): string[] {
    return this.text(name, otherwise)
      .split(',')
      .filter((part) => part !== '')
  }

  /** What has no name, in its order. A word right behind a switch is taken for its value. */
  words(): readonly string[] {
    this.#wordsAreKnown = true
    return this.#words
  }

  /** After all options were asked for: what is left is a typing error. */
  refuseUnknown(): void {
    const [word] = this.#words
    if (word !== undefined && !this.#wordsAreKnown) this.fail(`unexpected ${word}`)
    for (const name of this.#values.keys()) if (!this.#known.has(name)) this.fail(`unknown option --${name}`)
  }

  fail(problem: string): never {
    console.error(`${problem}\n\n${this.#usage}`)
    process.exit(2)
  }
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
