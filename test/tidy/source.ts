// A small scanner for TypeScript text: enough to tell code from comments, strings, templates and regular
// expressions, so that the checks of the code base read what runs and not what is written about it.

/** `text` with comments, string contents, template text and regular expressions blanked; lines keep their place. */
export function maskNonCode(text: string): string {
  const out = text.split('')
  const blank = (from: number, to: number): void => {
    for (let i = from; i < to; i++) if (out[i] !== '\n') out[i] = ' '
  }
  // Each entry is the brace depth at which a template's `${` was opened.
  const templates: number[] = []
  let depth = 0
  let at = 0
  while (at < text.length) {
    const two = text.slice(at, at + 2)
    const char = text[at] ?? ''
    let end = at + 1
    if (two === '//') {
      end = indexOrEnd(text, '\n', at)
      blank(at, end)
    } else if (two === '/*') {
      end = indexOrEnd(text, '*/', at + 2) + 2
      blank(at, end)
    } else if (char === "'" || char === '"') {
      end = endOfString(text, at)
      blank(at + 1, end - 1)
    } else if (char === '`') {
      end = endOfTemplatePart(text, at + 1)
      blank(at + 1, end - 1)
      if (text[end - 1] === '{') templates.push(depth++)
    } else if (char === '/' && startsRegularExpression(out, at)) {
      end = endOfRegularExpression(text, at)
      blank(at + 1, end - 1)
    } else if (char === '{') {
      depth++
    } else if (char === '}') {
      depth--
      if (templates.at(-1) === depth) {
        templates.pop()
        end = endOfTemplatePart(text, at + 1)
        blank(at + 1, end - 1)
        if (text[end - 1] === '{') templates.push(depth++)
      }
    }
    at = end
  }
  return out.join('')
}

/** Module specifiers of imports, re-exports, `import()` and `new URL('...', import.meta.url)`. */
export function specifiersOf(text: string): string[] {
  const masked = maskNonCode(text)
  const found: string[] = []
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*|\bnew URL\(\s*)(['"])/g
  for (const match of masked.matchAll(pattern)) {
    const quoteAt = match.index + match[0].length - 1
    found.push(text.slice(quoteAt + 1, endOfString(text, quoteAt) - 1))
  }
  return found
}

export type LongFunction = { line: number; lines: number }

/** Functions, methods and arrow functions whose body spans more than `linesMax` lines. */
export function longFunctions(masked: string, linesMax: number): LongFunction[] {
  const found: LongFunction[] = []
  const open: number[] = []
  const openOf = new Map<number, number>()
  for (let i = 0; i < masked.length; i++) {
    if (masked[i] === '{') open.push(i)
    if (masked[i] !== '}') continue
    const start = open.pop()
    if (start === undefined) continue
    openOf.set(i, start)
    const lines = lineOf(masked, i) - lineOf(masked, start) + 1
    if (lines > linesMax && isFunctionHeader(headerBefore(masked, start, openOf))) {
      found.push({ line: lineOf(masked, start), lines })
    }
  }
  return found
}

/** 1-based. */
export function lineOf(text: string, position: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i !== -1 && i < position; i = text.indexOf('\n', i + 1)) line++
  return line
}

/** The text between the previous statement and the brace at `start`; braces of types inside it are stepped over. */
function headerBefore(masked: string, start: number, openOf: ReadonlyMap<number, number>): string {
  let i = start - 1
  let parens = 0
  while (i >= 0) {
    const char = masked[i] ?? ''
    if (char === ')') parens++
    if (char === '(') parens--
    if (parens < 0) break
    if (parens === 0 && (char === ';' || char === '{')) break
    if (char === '}') {
      const opened = openOf.get(i) ?? 0
      const before = masked.slice(0, opened).trimEnd().at(-1) ?? ''
      if (parens === 0 && !':|&<,('.includes(before)) break
      i = opened
    }
    i--
  }
  return masked.slice(i + 1, start).trim()
}

function isFunctionHeader(header: string): boolean {
  if (header.endsWith('=>')) return true
  // Statements without semicolons run together: the last line that starts the construct decides.
  const last =
    header.split('\n').findLast((line) => /^\s*(export\s|async\s|static\s|[\w#*]+)/.test(line)) ?? ''
  if (/\b(class|interface|namespace)\b/.test(last)) return false
  if (/\bfunction\b/.test(header)) return true
  if (/\b(if|for|while|switch|catch|with|else|do|try|finally)\b\s*\(?[^=]*$/.test(last)) return false
  return /\)\s*(:[^=]*)?$/.test(header)
}

function indexOrEnd(text: string, what: string, from: number): number {
  const at = text.indexOf(what, from)
  return at === -1 ? text.length : at
}

function endOfString(text: string, start: number): number {
  const quote = text[start]
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === quote || text[i] === '\n') return i + 1
  }
  return text.length
}

/** Position after the closing backtick, or after the `{` of a `${`. */
function endOfTemplatePart(text: string, start: number): number {
  for (let i = start; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '`') return i + 1
    else if (text[i] === '$' && text[i + 1] === '{') return i + 2
  }
  return text.length
}

function startsRegularExpression(out: readonly string[], at: number): boolean {
  let i = at - 1
  while (i >= 0 && (out[i] === ' ' || out[i] === '\n')) i--
  const before = out[i] ?? ''
  if (before === '' || '(,=:[!&|?{};+>'.includes(before)) return true
  const word = out.slice(Math.max(0, i - 9), i + 1).join('')
  return /\b(return|typeof|case|of|in)$/.test(word)
}

function endOfRegularExpression(text: string, start: number): number {
  let inClass = false
  for (let i = start + 1; i < text.length; i++) {
    const char = text[i]
    if (char === '\n') return i
    if (char === '\\') i++
    else if (char === '[') inClass = true
    else if (char === ']') inClass = false
    else if (char === '/' && !inClass) return i + 1
  }
  return text.length
}
