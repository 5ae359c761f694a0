import type { Writable } from 'node:stream'
import { formatId } from '../base/index.ts'
import type { LogFields, Logger, LogLevel } from '../io/index.ts'

/** Characters that may wait for the reader of the log before lines are dropped. */
const backlogCharactersMax = 1024 * 1024

const ranks: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }

/**
 * Writes one line of JSON an event, `level` and above: {"ts", "level", "event", ...fields}. A bigint is an id and is
 * printed as 16 hexadecimal digits. A reader that does not keep up costs lines, never time or memory: lines beyond the
 * backlog are dropped and counted, and the count is logged (`log-lines-dropped`) as soon as there is room.
 */
export function createJsonLogger(stream: Writable, level: LogLevel): Logger {
  let dropped = 0

  function writeDropped(): void {
    if (dropped === 0) return
    const line = formatLine('warn', 'log-lines-dropped', { count: dropped })
    dropped = 0
    stream.write(line)
  }

  stream.on('drain', writeDropped)
  // A broken log (the reader went away) must not take the server with it.
  stream.on('error', () => undefined)

  return {
    log(lineLevel, event, fields) {
      if (ranks[lineLevel] < ranks[level]) return
      if (!stream.writable || stream.writableLength > backlogCharactersMax) {
        dropped++
        return
      }
      writeDropped()
      stream.write(formatLine(lineLevel, event, fields))
    },
  }
}

function formatLine(level: LogLevel, event: string, fields: LogFields | undefined): string {
  const line = { ts: new Date().toISOString(), level, event, ...fields }
  return `${JSON.stringify(line, formatValue)}\n`
}

function formatValue(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? formatId(value) : value
}
