/** One structured line: an event name from a fixed vocabulary and flat fields. Implementations bound their queue. */
export interface Logger {
  log(level: LogLevel, event: string, fields?: LogFields): void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, string | number | bigint | boolean | null | undefined>>

/** Takes everything and keeps nothing. */
export const silentLogger: Logger = { log: () => undefined }
