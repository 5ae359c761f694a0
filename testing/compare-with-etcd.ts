// Replays the stories named etcd_*.txt of src/etcd/testdata against a real etcd and prints where it answers otherwise.
// Each story gets an etcd of its own, on free ports with data below the temporary directory. Needs `etcd` in the path.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Metadata } from '../src/grpc/index.ts'
import { freePorts } from '../test/support/ports.ts'
import { createStory, type StoryAnswer, type StoryStream, type StoryTarget } from './etcd-story.ts'
import { replay } from './testdata.ts'

const folder = join(import.meta.dirname, '..', 'src', 'etcd', 'testdata')
/** Real time: how long to wait for what comes on streams, and for the first stream of a connection. */
const quietMs = 150
const firstStreamMs = 600

async function startEtcd(directory: string): Promise<{ process: ChildProcess; url: string }> {
  const [clientPort = 0, peerPort = 0] = await freePorts(2)
  const client = `http://127.0.0.1:${clientPort}`
  const peer = `http://127.0.0.1:${peerPort}`
  const flags = [
    ['--name', 'one'],
    ['--data-dir', directory],
    ['--listen-client-urls', client],
    ['--advertise-client-urls', client],
    ['--listen-peer-urls', peer],
    ['--initial-advertise-peer-urls', peer],
    ['--initial-cluster', `one=${peer}`],
    ['--logger', 'zap'],
  ].flat()
  const process = spawn('etcd', flags, { stdio: ['ignore', 'ignore', 'pipe'] })
  await new Promise<void>((resolve, reject) => {
    process.once('error', reject)
    process.stderr?.on('data', (text: Buffer) => {
      if (text.includes('serving')) resolve()
    })
  })
  return { process, url: client }
}

function frame(message: Uint8Array): Buffer {
  const framed = Buffer.alloc(5 + message.length)
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, 5)
  return framed
}

class RealStream implements StoryStream {
  ending: StoryStream['ending'] = 'open'
  readonly done: Promise<void>
  readonly #stream: http2.ClientHttp2Stream
  #buffer: Buffer = Buffer.alloc(0)

  constructor(session: http2.ClientHttp2Session, path: string, metadata: Metadata) {
    this.#stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...Object.fromEntries(metadata),
    })
    this.#stream.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk])
    })
    const take = (headers: http2.IncomingHttpHeaders): void => {
      const status = headers['grpc-status']
      if (status === undefined) return
      const message = decodeURIComponent(String(headers['grpc-message'] ?? ''))
      this.ending = status === '0' ? 'ended' : ({ status: Number(status), message } as StoryStream['ending'])
    }
    this.#stream.on('response', take)
    this.#stream.on('trailers', take)
    this.#stream.on('error', () => undefined)
    this.done = new Promise((resolve) => this.#stream.once('close', () => resolve()))
  }

  write(message: Uint8Array): void {
    this.#stream.write(frame(message))
  }

  halfClose(): void {
    this.#stream.end()
  }

  cancel(): void {
    this.#stream.close(http2.constants.NGHTTP2_CANCEL)
  }

  read(): Uint8Array[] {
    const messages: Uint8Array[] = []
    while (this.#buffer.length >= 5) {
      const end = 5 + this.#buffer.readUInt32BE(1)
      if (this.#buffer.length < end) break
      messages.push(new Uint8Array(this.#buffer.subarray(5, end)))
      this.#buffer = this.#buffer.subarray(end)
    }
    return messages
  }
}

function targetAt(session: http2.ClientHttp2Session): StoryTarget {
  let streams = 0
  let isWarm = false
  return {
    async call(path, request, metadata): Promise<StoryAnswer> {
      const stream = new RealStream(session, path, metadata)
      stream.write(request)
      stream.halfClose()
      await stream.done
      const [message] = stream.read()
      const { ending } = stream
      if (ending === 'open') throw new Error(`${path} ended without a status`)
      if (ending === 'ended') return { message, error: undefined }
      return { message: undefined, error: { ...ending, trailers: new Map() } }
    },
    open(path, metadata) {
      streams++
      return new RealStream(session, path, metadata)
    },
    async settle() {
      if (streams > 0) await delay(isWarm ? quietMs : firstStreamMs)
      isWarm = streams > 0
    },
  }
}

let differences = 0
for (const file of readdirSync(folder).filter((name) => name.startsWith('etcd_') && name.endsWith('.txt'))) {
  const directory = mkdtempSync(join(tmpdir(), 'compare-etcd-'))
  const etcd = await startEtcd(directory)
  const session = http2.connect(etcd.url)
  session.on('error', () => undefined)
  const ours = readFileSync(join(folder, file), 'utf8')
  const theirs = await replay(ours, createStory(targetAt(session)))
  printDifferences(file, answersOf(ours), answersOf(theirs))
  session.destroy()
  etcd.process.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}
console.log(`${differences} answers differ`)

/** Both replays have the same commands in the same order. What streams say between two commands has no order. */
function printDifferences(file: string, ours: [string, string[]][], theirs: [string, string[]][]): void {
  for (const [index, [command, answer]] of ours.entries()) {
    const other = theirs[index]?.[1] ?? []
    if ([...answer].sort().join('\n') === [...other].sort().join('\n')) continue
    differences++
    console.log(
      `== ${file}: ${command}\nquorate: ${answer.join('\n         ')}\netcd:    ${other.join('\n         ')}`,
    )
  }
}

function answersOf(text: string): [string, string[]][] {
  const lines = text.split('\n')
  const answers: [string, string[]][] = []
  for (let i = 0; i < lines.length; i++) {
    if (lines[i + 1] !== '----') continue
    const end = lines.indexOf('', i + 2)
    answers.push([lines[i] ?? '', lines.slice(i + 2, end)])
  }
  return answers
}
