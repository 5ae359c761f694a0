// Faults put into the answers of side b on purpose: the proof that the comparison sees what it is for. A run with one
// of them must fail; see README.md.
import type { MethodName } from '../support/etcd-messages.ts'
import type { Answer } from '../support/grpc-client.ts'
import { messageOf, messagesOf, numberOf } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'

/** How many answers that could be changed pass before one is. */
const passBefore = 10

const faults: Record<string, (name: MethodName, answer: Answer) => Answer | undefined> = {
  count: (name, answer) =>
    name === 'range' && numberOf(answer.message.count) > 1
      ? { ...answer, message: { ...answer.message, count: numberOf(answer.message.count) - 1 } }
      : undefined,
  more: (name, answer) =>
    name === 'range' && answer.message.more === true
      ? { ...answer, message: { ...answer.message, more: undefined } }
      : undefined,
  version: (name, answer) => {
    const kvs = messagesOf(answer.message.kvs)
    const last = kvs.at(-1)
    if (name !== 'range' || last === undefined) return undefined
    const changed = { ...last, version: numberOf(last.version) + 1 }
    return { ...answer, message: { ...answer.message, kvs: [...kvs.slice(0, -1), changed] } }
  },
  'previous-value': (name, answer) =>
    name === 'put' && Object.keys(messageOf(answer.message.prev_kv)).length > 0
      ? { ...answer, message: { ...answer.message, prev_kv: undefined } }
      : undefined,
  branch: (name, answer) =>
    name === 'txn' && answer.message.succeeded === true
      ? { ...answer, message: { ...answer.message, succeeded: undefined } }
      : undefined,
  'error-text': (_, answer) => (answer.code === 0 ? undefined : { ...answer, text: `${answer.text}.` }),
  'error-code': (_, answer) => (answer.code === 0 ? undefined : { ...answer, code: answer.code + 1 }),
}

const watchFault = 'watch-event'

export const plantNames: readonly string[] = [...Object.keys(faults), watchFault]

export class Plant {
  readonly #fault: string
  #seen = 0

  constructor(fault: string) {
    this.#fault = fault
  }

  /** Whether the fault was put in. A plant that never was proves nothing. */
  get used(): boolean {
    return this.#seen >= passBefore
  }

  changeAnswer(name: MethodName, answer: Answer): Answer {
    const changed = faults[this.#fault]?.(name, answer)
    return changed !== undefined && ++this.#seen === passBefore ? changed : answer
  }

  /** Loses one event. */
  changeEvents(events: Message[]): Message[] {
    if (this.#fault !== watchFault || events.length === 0 || ++this.#seen !== passBefore) return events
    return events.slice(1)
  }
}
