import { setTimeout as sleep } from 'node:timers/promises'
import { frameFlag, frameType, type http2Error, windowBytesMax } from '../../src/http2/frame.ts'
import { methods } from '../support/etcd-messages.ts'
import { prefixRange } from '../support/keys.ts'
import { encode } from '../support/protobuf.ts'
import { callHeaders, frame, HostileSocket, many, messageData, opening, type Place } from './socket.ts'

export interface AttackPlan extends Place {
  readonly ms: number
  /** 1: a real attack; less: as many clients less. */
  readonly scale: number
}

export interface AttackReport {
  /** Connections that were opened, and how many of them were still open in the end. */
  readonly connections: number
  readonly open: number
  /** How much of what the attack does was taken by the network, in its own unit. */
  readonly acts: number
  readonly unit: string
  readonly bytesSent: number
  /** How often the server ended them with which code; `closed`: without one that arrived. */
  readonly ends: Readonly<Record<string, number>>
  /** What the server should not have done or let be. */
  readonly problems: readonly string[]
}

export type AttackName =
  | 'rapid reset'
  | 'continuation flood'
  | 'ping flood'
  | 'settings flood'
  | 'empty frames'
  | 'huge lengths'
  | 'slow readers'
  | 'slow windows'
  | 'unfinished messages'
  | 'new connections'
  | 'idle connections'
  | 'leaving connections'
  | 'half-open handshakes'

/** Keys below it make the big answers; whoever runs attacks puts them there. */
export const bigPrefix = '/hostile/big/'

const clientsPerFlood = 8
/** Above it a flood should have been ended long ago. */
const floodBytesMax = 64 * 1024 * 1024
const rangePath = methods.range.path
const none = new Uint8Array(0)
const bigRange = encode(prefixRange(bigPrefix), methods.range.request)

class Attack {
  readonly plan: AttackPlan
  /** What it did so far, in its unit. */
  acts = 0
  #untilMs = Number.POSITIVE_INFINITY
  #end: Promise<void> | undefined
  readonly #sockets: HostileSocket[] = []
  readonly #ends: Record<string, number> = {}
  readonly #problems = new Set<string>()
  #connections = 0
  #bytesSent = 0

  constructor(plan: AttackPlan) {
    this.plan = plan
  }

  /** From here on it is measured, and ends after the time of its plan. */
  begin(): void {
    this.#untilMs = performance.now() + this.plan.ms
    this.#end = sleep(this.plan.ms)
  }

  get isOver(): boolean {
    return performance.now() >= this.#untilMs
  }

  count(clients: number): number {
    return Math.max(1, Math.round(clients * this.plan.scale))
  }

  open(isReading = true): HostileSocket {
    this.#connections++
    const socket = new HostileSocket(this.plan, isReading)
    this.#sockets.push(socket)
    void socket.closed.then(() => {
      this.#bytesSent += socket.bytesSent
      const end = socket.goAway ?? 'closed'
      this.#ends[end] = (this.#ends[end] ?? 0) + 1
    })
    return socket
  }

  problem(text: string): void {
    this.#problems.add(text)
  }

  /** Until it is over. */
  async rest(): Promise<void> {
    await this.#end
  }

  /** `clients` of them at a time, each again and again. */
  async repeat(clients: number, run: (round: number) => Promise<void>): Promise<void> {
    const worker = async (): Promise<void> => {
      for (let round = 0; !this.isOver; round++) await run(round)
    }
    await Promise.all(Array.from({ length: this.count(clients) }, worker))
  }

  report(unit: string): AttackReport {
    const open = this.#sockets.filter((socket) => !socket.isClosed)
    for (const socket of open) this.#bytesSent += socket.bytesSent
    const report = {
      connections: this.#connections,
      open: open.length,
      acts: this.acts,
      unit,
      bytesSent: this.#bytesSent,
      ends: { ...this.#ends },
      problems: [...this.#problems],
    }
    return report
  }

  leave(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

/**
 * Sends one batch after the other until the server says that it ends the connection, which it must do with `code`. Then it is
 * back at once: who attacks does not wait for the end.
 */
function flood(
  code: keyof typeof http2Error,
  batch: (round: number) => Uint8Array,
  { actsPerBatch, first = none }: { actsPerBatch: number; first?: Uint8Array },
) {
  // Made once: what attackers compute they take from the server, since they have no machine of their own here.
  const batches: Uint8Array[] = []
  return (attack: Attack): Promise<void> =>
    attack.repeat(clientsPerFlood, async () => {
      const socket = attack.open()
      await socket.write(opening(), first)
      let bytes = 0
      for (let round = 0; !socket.isClosed && !attack.isOver; round++) {
        const frames = batches[round] ?? batch(round)
        batches[round] = frames
        bytes += frames.length
        await Promise.race([socket.write(frames), attack.rest()])
        attack.acts += actsPerBatch
        if (bytes > floodBytesMax) {
          attack.problem(`${floodBytesMax} bytes were taken`)
          socket.destroy()
        }
      }
      await Promise.race([socket.closed, attack.rest()])
      const { goAway } = socket
      if (goAway !== undefined && goAway !== code) attack.problem(`ended with ${goAway} and not ${code}`)
    })
}

const resetsPerBatch = 500
const rapidReset = flood(
  'enhanceYourCalm',
  (round) =>
    Buffer.concat(
      Array.from({ length: resetsPerBatch }, (_, i) => {
        const stream = 2 * (round * resetsPerBatch + i) + 1
        return Buffer.concat([
          callHeaders(stream, rangePath),
          frame(frameType.rstStream, 0, stream, Buffer.alloc(4)),
        ])
      }),
    ),
  { actsPerBatch: resetsPerBatch },
)

const continuationFlood = flood(
  'enhanceYourCalm',
  () => many(1_000, frame(frameType.continuation, 0, 1, Buffer.from([0, 1, 0x61, 1, 0x62]))),
  { actsPerBatch: 1_000, first: frame(frameType.headers, 0, 1, none) },
)

const pingFlood = flood('enhanceYourCalm', () => many(2_000, frame(frameType.ping, 0, 0, Buffer.alloc(8))), {
  actsPerBatch: 2_000,
})

/** Each frame moves the windows of all open streams as often as it can. */
const settingsFlood = flood(
  'enhanceYourCalm',
  () => {
    const settings = Buffer.concat(
      Array.from({ length: 1_365 }, () => Buffer.from([0, 4, 0, 1, 0, 0, 0, 4, 0, 2, 0, 0])),
    )
    return many(10, frame(frameType.settings, 0, 0, settings))
  },
  {
    actsPerBatch: 10,
    first: Buffer.concat(Array.from({ length: 4_000 }, (_, i) => callHeaders(2 * i + 1, rangePath))),
  },
)

const emptyFlood = flood('enhanceYourCalm', () => many(2_000, frame(frameType.data, 0, 1, none)), {
  actsPerBatch: 2_000,
  first: callHeaders(1, rangePath),
})

/** Lengths and numbers that stand for memory which nobody should take. */
const hugeLengths: readonly { readonly bytes: Uint8Array; readonly end: string }[] = [
  { bytes: Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]), end: 'goAway frameSizeError' },
  // A literal whose name has 2^27 bytes, one whose length never ends, a table of a million bytes.
  { bytes: headersOf([0x40, 0x7f, 0x81, 0xff, 0xff, 0x3f]), end: 'goAway compressionError' },
  { bytes: headersOf([0x40, 0x7f, ...new Array<number>(40).fill(0xff)]), end: 'goAway compressionError' },
  { bytes: headersOf([0x3f, 0xe1, 0xff, 0x3f]), end: 'goAway compressionError' },
  // A field of 4,000 bytes put into the table, then named 8,000 times.
  {
    bytes: headersOf([
      0x40,
      1,
      0x78,
      0x7f,
      0xa1,
      0x1e,
      ...many(4_000, Buffer.from('y')),
      ...many(8_000, Uint8Array.of(0xbe)),
    ]),
    end: 'reset enhanceYourCalm',
  },
  { bytes: messageCall(0xffff_ffff), end: 'status 8' },
  { bytes: messageCall(2_097_153), end: 'status 8' },
]

function headersOf(block: readonly number[]): Uint8Array {
  return frame(frameType.headers, frameFlag.endHeaders, 1, Uint8Array.from(block))
}

function messageCall(claimedBytes: number): Uint8Array {
  return Buffer.concat([callHeaders(1, rangePath), messageData(1, Buffer.alloc(3), { claimedBytes })])
}

async function sendHugeLengths(attack: Attack): Promise<void> {
  await attack.repeat(clientsPerFlood, async (round) => {
    const { bytes, end } = hugeLengths[round % hugeLengths.length] as (typeof hugeLengths)[number]
    const socket = attack.open()
    await socket.write(opening(), bytes)
    attack.acts++
    const until = performance.now() + 10_000
    const found = (): string | undefined => {
      if (socket.goAway !== undefined) return `goAway ${socket.goAway}`
      if (socket.status !== undefined) return `status ${socket.status}`
      return socket.reset === undefined ? undefined : `reset ${socket.reset}`
    }
    while (found() === undefined && !socket.isClosed && performance.now() < until) await sleep(5)
    const told = found() ?? (socket.isClosed ? end : 'nothing')
    if (told !== end) attack.problem(`a length was answered with ${told} and not ${end}`)
    socket.destroy()
  })
}

/** Ask for big answers on all streams, open every window, and read nothing. */
async function readSlowly(attack: Attack): Promise<void> {
  await attack.repeat(50, async () => {
    const socket = attack.open(false)
    const grant = Buffer.alloc(4)
    grant.writeUInt32BE(windowBytesMax - 65_535)
    await socket.write(opening(windowBytesMax), frame(frameType.windowUpdate, 0, 0, grant))
    for (let stream = 1; stream < 400 && !socket.isClosed && !attack.isOver; stream += 2) {
      await socket.write(callHeaders(stream, rangePath), messageData(stream, bigRange, { isEnd: true }))
      attack.acts++
    }
    await Promise.race([socket.closed, attack.rest()])
  })
}

/** Big answers wait behind a closed window of the connection, while the windows of the streams open byte by byte. */
async function openWindowsSlowly(attack: Attack): Promise<void> {
  const streams = 500
  const grants = Buffer.concat(
    Array.from({ length: streams }, (_, i) =>
      frame(frameType.windowUpdate, 0, 2 * i + 1, Buffer.from([0, 0, 0, 1])),
    ),
  )
  await attack.repeat(4, async () => {
    const socket = attack.open()
    await socket.write(opening())
    for (let i = 0; i < streams && !attack.isOver; i++) {
      await socket.write(callHeaders(2 * i + 1, rangePath), messageData(2 * i + 1, bigRange, { isEnd: true }))
    }
    while (!attack.isOver && !socket.isClosed) {
      await socket.write(grants)
      attack.acts += streams
    }
  })
}

/** Large messages that never end, on many streams. */
async function sendHalves(attack: Attack): Promise<void> {
  const part = Buffer.alloc(16_000)
  await attack.repeat(50, async () => {
    const socket = attack.open()
    await socket.write(opening())
    for (let stream = 1; stream < 400 && !socket.isClosed && !attack.isOver; stream += 2) {
      await socket.write(
        callHeaders(stream, rangePath),
        messageData(stream, part, { claimedBytes: 1_500_000 }),
      )
      for (let i = 0; i < 50; i++) await socket.write(frame(frameType.data, 0, stream, part))
      attack.acts++
    }
    await Promise.race([socket.closed, attack.rest()])
  })
}

/** Connections that say hello and no more. */
async function openIdle(attack: Attack): Promise<void> {
  const batchSize = 100
  for (let opened = 0; opened < attack.count(10_000) && !attack.isOver; opened += batchSize) {
    await Promise.all(
      Array.from({ length: Math.min(batchSize, attack.count(10_000)) }, () => attack.open().write(opening())),
    )
    attack.acts += batchSize
  }
}

async function keepComing(attack: Attack): Promise<void> {
  await openIdle(attack)
  await attack.rest()
}

const halves = [
  '',
  'PRI * HT',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'GET /health HTTP/1.1\r\nx: ',
  '\x16\x03\x01',
]

/** Connections that do not get as far as a request. */
async function neverBegin(attack: Attack): Promise<void> {
  await attack.repeat(2_000, async (round) => {
    const socket = attack.open()
    await socket.write(Buffer.from(halves[round % halves.length] as string, 'latin1'))
    attack.acts++
    await Promise.race([socket.closed, attack.rest()])
  })
}

async function leaveAtOnce(attack: Attack): Promise<void> {
  attack.leave()
  await attack.rest()
}

interface AttackKind {
  /** In which it counts what it did. */
  readonly unit: string
  /** What is done before it is measured. */
  readonly prepare?: (attack: Attack) => Promise<void>
  readonly run: (attack: Attack) => Promise<void>
  /** Its connections are there until the end: others measure what it costs that they go. */
  readonly stays?: true
}

const attacks: Readonly<Record<AttackName, AttackKind>> = {
  'rapid reset': { unit: 'calls reset', run: rapidReset },
  'continuation flood': { unit: 'frames', run: continuationFlood },
  'ping flood': { unit: 'frames', run: pingFlood },
  'settings flood': { unit: 'frames of 1,365 settings', run: settingsFlood },
  'empty frames': { unit: 'frames', run: emptyFlood },
  'huge lengths': { unit: 'lengths', run: sendHugeLengths },
  'slow readers': { unit: 'ranges of 1 MiB asked for', run: readSlowly },
  'slow windows': { unit: 'windows opened by a byte', run: openWindowsSlowly },
  'unfinished messages': { unit: 'messages of 0.8 MB begun', run: sendHalves },
  'new connections': { unit: 'connections', run: keepComing },
  'idle connections': { unit: 'connections', prepare: openIdle, run: (attack) => attack.rest(), stays: true },
  'leaving connections': { unit: 'connections', prepare: openIdle, run: leaveAtOnce },
  'half-open handshakes': { unit: 'connections', run: neverBegin },
}
export const attackNames: readonly AttackName[] = Object.keys(attacks) as AttackName[]

/** An attack that is prepared: what it gives runs it. */
export async function prepareAttack(
  name: AttackName,
  plan: AttackPlan,
): Promise<() => Promise<AttackReport>> {
  const attack = new Attack(plan)
  const { unit, prepare, run, stays } = attacks[name]
  await prepare?.(attack)
  return async () => {
    attack.begin()
    await run(attack)
    const report = attack.report(unit)
    if (stays !== true) attack.leave()
    return report
  }
}
