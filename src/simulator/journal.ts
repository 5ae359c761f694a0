import { formatId } from '../base/index.ts'
import type { LogFields, LogLevel } from '../io/index.ts'
import type { LeaseRecord } from './check-lease.ts'
import type { RecordedCall } from './history.ts'
import type { ServerWatchMessage } from './server-seam.ts'

/** One thing that happened to the cluster or in it. */
export interface Happening {
  readonly at: number
  /** What was done to the cluster; otherwise it is what the cluster did. */
  readonly isFault: boolean
  readonly text: string
}

/** What a watch told its client. */
export interface Told {
  readonly at: number
  readonly watch: string
  readonly message: ServerWatchMessage
}

/** Event names that a reader of a story needs although the servers log them as a matter of course. */
const toldEvents: ReadonlySet<string> = new Set([
  'members-changed',
  'snapshot-installed',
  'log-truncated',
  'leadership-handed-over',
  'state-from-snapshot',
  'state-repaired',
])

/** Takes notes of one run for its story. It draws nothing and schedules nothing: the run is the same without it. */
export class Journal {
  readonly happenings: Happening[] = []
  readonly told: Told[] = []
  /** All calls of the run, as the checkers get them. */
  calls: readonly RecordedCall[] = []
  leases: readonly LeaseRecord[] = []
  /** Member ids as the servers log them, and the machines they were last seen on. */
  readonly #names = new Map<string, string>()

  /** When a promise was first seen to be broken while the run went on; undefined: no checker of a moment saw it. */
  brokenAt: number | undefined

  broken(at: number): void {
    this.brokenAt ??= at
  }

  fault(at: number, text: string): void {
    this.happenings.push({ at, isFault: true, text })
  }

  server(at: number, text: string): void {
    this.happenings.push({ at, isFault: false, text })
  }

  watch(at: number, watch: string, message: ServerWatchMessage): void {
    this.told.push({ at, watch, message })
  }

  /** A line that the server on machine `name` logged. */
  logged(at: number, name: string, level: LogLevel, event: string, fields: LogFields = {}): void {
    if (event === 'node-open') this.#names.set(textOf(fields.member), name)
    if (event === 'role') this.server(at, `${name} ${this.#role(fields)}`)
    else if (level === 'error' || level === 'warn' || toldEvents.has(event)) {
      const facts = Object.entries(fields).map(([field, value]) => ` ${field}=${this.#name(textOf(value))}`)
      this.server(at, `${name} ${event}${facts.join('')}`)
    }
  }

  /** As the case files of raft have it. */
  #role({ role, term, leader, cause }: LogFields): string {
    const of = role === 'follower' && leader !== 'none' ? ` of ${this.#name(textOf(leader))}` : ''
    return `${role}${of} at term ${term}: ${cause}`
  }

  #name(text: string): string {
    return this.#names.get(text) ?? text
  }
}

function textOf(value: LogFields[string]): string {
  return typeof value === 'bigint' ? formatId(value) : String(value)
}
