import assert from 'node:assert/strict'
import { join, relative } from 'node:path'
import { runTestdata } from '../../testing/testdata.ts'
import { bytesFromHex, concatBytes, hexFromBytes, printableBytes, utf8Encode } from '../base/index.ts'
import { fieldOf, type HeaderList, HpackDecoder, HpackEncoder, headerList } from '../hpack/index.ts'
import { frameFlag, frameType, http2Error, readU16, readU31, readU32, settingId } from './frame.ts'
import { FrameReader } from './frame-reader.ts'
import {
  type ConnectionListener,
  clientPreface,
  type Http2Limits,
  ServerConnection,
  type ServerStream,
} from './index.ts'
import { OutgoingFrames, settingsAck } from './outgoing-frames.ts'

const standardLimits: Http2Limits = {
  streamCountMax: 4,
  headerBytesMax: 500,
  streamWindowBytes: 65_535,
  connectionWindowBytes: 100_000,
  pendingBytesMax: 400_000,
  resetCountBurst: 10,
  resetCountPerSecond: 1,
  idleFrameCountBurst: 20,
  idleFrameCountPerSecond: 1,
}

runTestdata(relative('.', join(import.meta.dirname, 'testdata')), () => {
  let story = new Story(standardLimits)
  return ({ name, args }) => {
    if (name !== 'server' && name !== 'client') return story.run(name, args)
    const changed = args.map((arg) => arg.split('=')).map(([key, value]) => [key, Number(value)])
    story = new Story({ ...standardLimits, ...Object.fromEntries(changed) })
    if (name === 'server') return story.told()
    story.run('preface', [])
    story.run('settings', [])
    return 'connected'
  }
})

/** A client by hand: what it sends is said in words, what comes back and what the server hears are told in words. */
class Story {
  readonly #lines: string[] = []
  readonly #streams = new Map<number, ServerStream>()
  readonly #connection: ServerConnection
  readonly #encoder = new HpackEncoder()
  readonly #decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 100_000 })
  readonly #sent = new FrameReader()
  readonly #constants = new Map<string, HeaderList>()
  #seenHeaders: HeaderList | undefined
  #nowMs = 0
  #isSilent = false

  constructor(limits: Http2Limits & { readonly patience?: number }) {
    const listener: ConnectionListener = {
      onRequest: (stream, headers) => {
        const again = headers === this.#seenHeaders ? ' (the same object)' : ''
        this.#seenHeaders = headers
        this.#lines.push(`request ${stream.id} ${fieldOf(headers, ':path')}${again}`)
        this.#streams.set(stream.id, stream)
        stream.listener = {
          onData: (bytes) => this.#lines.push(`data ${stream.id} ${briefly(bytes)}`),
          onEnd: () => this.#lines.push(`end ${stream.id}`),
          onDrain: () => this.#lines.push(`drain ${stream.id}`),
          onLocalEnd: () => this.#lines.push(`answered ${stream.id}`),
          onClose: (code) =>
            this.#lines.push(`closed ${stream.id}${code === undefined ? '' : ` ${codeName(code)}`}`),
        }
      },
      onOutput: () => undefined,
      onEnd: (code, text) => this.#lines.push(`over ${codeName(code)}${text === '' ? '' : `: ${text}`}`),
    }
    this.#connection = new ServerConnection(limits, listener, limits.patience)
  }

  told(): string {
    if (!this.#isSilent) this.#takeFrames()
    return this.#lines.splice(0).join('\n')
  }

  run(name: string, args: readonly string[]): string {
    if (!this.#act(name, args)) this.#receive(frameOf(name, args, this.#encoder))
    return this.told() || 'nothing'
  }

  /** What the server, the network and the clock do. */
  #act(name: string, args: readonly string[]): boolean {
    const [first = '', ...rest] = args
    const stream = this.#streams.get(Number(first))
    switch (name) {
      case 'preface':
        this.#receive(clientPreface)
        return true
      case 'time':
        this.#nowMs += Number(first)
        return true
      case 'network':
        this.#network(first)
        return true
      case 'close':
        this.#connection.close()
        return true
      case 'lost':
        this.#connection.lost()
        return true
      case 'times':
        for (let i = 0; i < Number(first); i++) this.run(rest[0] as string, rest.slice(1))
        return true
      case 'answer':
        stream?.sendHeaders(this.#constant(rest.join(' ')), true, false)
        return true
      case 'refuse':
        stream?.sendHeaders(this.#constant(rest.join(' ')), false, true)
        return true
      case 'write':
        if (stream?.write(bytesOf(rest)) === false) this.#lines.push(`waits: ${stream.pendingBytes} bytes`)
        return true
      case 'finish':
        stream?.end(this.#constant(rest.join(' ')), true)
        return true
      case 'give-up':
        stream?.reset(http2Error.cancel)
        return true
      case 'hold':
        stream?.hold()
        return true
      case 'release':
        stream?.release()
        return true
      default:
        return false
    }
  }

  #network(state: string): void {
    this.#isSilent = state === 'blocked'
    if (this.#isSilent) this.#connection.block()
    else this.#connection.unblock()
  }

  #constant(text: string): HeaderList {
    const list =
      this.#constants.get(text) ?? headerList(text.split(' ').flatMap((field) => splitField(field)))
    this.#constants.set(text, list)
    return list
  }

  #receive(bytes: Uint8Array): void {
    this.#connection.receive(bytes, this.#nowMs)
  }

  #takeFrames(): void {
    this.#sent.push(concatBytes(this.#connection.take()))
    while (this.#sent.next()) this.#lines.push(`> ${this.#describe()}`)
    // The network has taken it: whoever waited for room has its turn.
    this.#connection.pump()
    if (this.#connection.outputBytes > 0) this.#takeFrames()
  }

  #describe(): string {
    const { type, flags, streamId, payload } = this.#sent
    const end = (flags & frameFlag.endStream) !== 0 ? ' end' : ''
    const ack = (flags & frameFlag.ack) !== 0 ? ' ack' : ''
    switch (type) {
      case frameType.data:
        return `DATA ${streamId}${end} ${briefly(payload)}`
      case frameType.headers:
      case frameType.continuation:
        return `${nameOf(frameType, type)} ${streamId}${end} ${describeFields(this.#decoder.decode(payload))}`
      case frameType.settings:
        return `SETTINGS${ack}${describeSettings(payload)}`
      case frameType.ping:
        return `PING${ack} ${hexFromBytes(payload)}`
      case frameType.rstStream:
        return `RST_STREAM ${streamId} ${codeName(readU32(payload, 0))}`
      case frameType.windowUpdate:
        return `WINDOW_UPDATE ${streamId} ${readU31(payload, 0)}`
      case frameType.goAway:
        return `GOAWAY ${readU31(payload, 0)} ${codeName(readU32(payload, 4))} ${printableBytes(payload.subarray(8))}`
      default:
        throw new Error(`a server sends no frame of type ${type}`)
    }
  }
}

/** The frame that the words stand for. `more`: without END_HEADERS; `end`: with END_STREAM. */
function frameOf(name: string, args: readonly string[], encoder: HpackEncoder): Uint8Array {
  const frames = new OutgoingFrames()
  const [first = '', ...rest] = args
  const words = rest.filter((word) => word !== 'end' && word !== 'more')
  const isEnd = rest.includes('end')
  switch (name) {
    case 'headers': {
      const block = encoder.encode(headerList(words.flatMap(splitField)))
      const flags = (isEnd ? frameFlag.endStream : 0) | (rest.includes('more') ? 0 : frameFlag.endHeaders)
      return rawFrame(frameType.headers, flags, Number(first), block)
    }
    case 'request': {
      const fields = [':method=POST', ':scheme=http', ':path=/a', ...words].flatMap(splitField)
      frames.headers(Number(first), encoder.encode(headerList(fields)), isEnd)
      break
    }
    case 'request-and-reset': {
      const fields = [':method=POST', ':scheme=http', ':path=/a'].flatMap(splitField)
      frames.headers(Number(first), encoder.encode(headerList(fields)), false)
      frames.rstStream(Number(first), http2Error.cancel)
      break
    }
    case 'data':
      frames.data(Number(first), bytesOf(words), isEnd)
      break
    case 'settings':
      frames.settings(args.map((arg) => arg.split('=').map(Number) as [number, number]))
      break
    case 'settings-ack':
      frames.constant(settingsAck)
      break
    case 'ping':
      frames.ping(bytesFromHex(first), rest.includes('ack'))
      break
    case 'grow':
      frames.windowUpdate(Number(first), Number(rest[0]))
      break
    case 'reset':
      frames.rstStream(Number(first), http2Error.cancel)
      break
    case 'goaway':
      frames.goAway(0, http2Error.noError, utf8Encode(''))
      break
    case 'frame':
      // type flags stream payload
      return rawFrame(Number(first), Number(rest[0]), Number(rest[1]), bytesFromHex(rest.slice(2).join('')))
    case 'bytes':
      return bytesFromHex(args.join(''))
    default:
      throw new Error(`unknown command ${name}`)
  }
  return concatBytes(frames.take())
}

function rawFrame(type: number, flags: number, streamId: number, payload: Uint8Array): Uint8Array {
  const { length } = payload
  const header = [
    length >> 16,
    length >> 8,
    length,
    type,
    flags,
    streamId >>> 24,
    streamId >> 16,
    streamId >> 8,
    streamId,
  ]
  return concatBytes([Uint8Array.from(header), payload])
}

function splitField(field: string): [string, string] {
  const at = field.indexOf('=')
  return [field.slice(0, at), field.slice(at + 1).replaceAll('_', ' ')]
}

/** `abc`: itself; `*1000`: so many bytes; `hex:00ff`. */
function bytesOf(words: readonly string[]): Uint8Array {
  const text = words.join(' ')
  if (text.startsWith('*')) return new Uint8Array(Number(text.slice(1))).fill(0x78)
  return text.startsWith('hex:') ? bytesFromHex(text.slice(4)) : utf8Encode(text)
}

function briefly(bytes: Uint8Array): string {
  return bytes.length > 40 ? `*${bytes.length}` : `"${printableBytes(bytes)}"`
}

function describeFields({ fields }: HeaderList): string {
  const pairs: string[] = []
  for (let i = 0; i < fields.length; i += 2) pairs.push(`${fields[i]}=${fields[i + 1]}`)
  return pairs.join(' ')
}

function describeSettings(payload: Uint8Array): string {
  let text = ''
  for (let at = 0; at < payload.length; at += 6) {
    text += ` ${nameOf(settingId, readU16(payload, at))}=${readU32(payload, at + 2)}`
  }
  return text
}

function codeName(code: number): string {
  return nameOf(http2Error, code)
}

/** As the RFC writes it. */
function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const [name] = Object.entries(names).find(([, known]) => known === value) ?? []
  assert.ok(name !== undefined, `no name for ${value}`)
  return name.replace(/[A-Z0-9]/g, (letter) => `_${letter}`).toUpperCase()
}
