// One load run with h2load: a fixed gRPC body sent over and over. h2load knows nothing of gRPC, so the caller proves
// afterwards that the requests did what they say.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type MethodName, methods } from '../test/support/etcd-messages.ts'
import { encode, type Message } from '../test/support/protobuf.ts'

export type Load = { connections: number; streams: number; requests: number }
export type LoadResult = { requestsPerSecond: number; p50Ms: number; p99Ms: number }

const deadlineMs = 180_000

export async function runLoad(
  endpoint: string,
  method: MethodName,
  request: Message,
  load: Load,
): Promise<LoadResult> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-'))
  try {
    const bodyPath = join(directory, 'body')
    const logPath = join(directory, 'log')
    writeFileSync(bodyPath, grpcFrame(encode(request, methods[method].request)))
    const args = [
      ...['-n', String(load.requests), '-c', String(load.connections), '-m', String(load.streams), '-t', '1'],
      ...['-H', 'content-type: application/grpc', '-H', 'te: trailers'],
      ...['-d', bodyPath, '--log-file', logPath, `http://${endpoint}${methods[method].path}`],
    ]
    const out = await runH2load(args)
    const rate = /finished in [^,]+, ([\d.]+) req\/s/.exec(out)?.[1]
    const counts = /requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed/.exec(out)
    if (rate === undefined || counts === null)
      throw new Error(`h2load said nothing that is understood:\n${out}`)
    if (Number(counts[3]) !== load.requests) throw new Error(`${counts[0]}, of ${load.requests}`)
    return { requestsPerSecond: Number(rate), ...percentiles(readFileSync(logPath, 'utf8')) }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function runH2load(args: readonly string[]): Promise<string> {
  const child = spawn('h2load', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`h2load cannot be run: ${error.message}`)))
    child.once('close', resolve)
  })
  clearTimeout(timer)
  if (code !== 0) throw new Error(`h2load ended with ${code}:\n${out}`)
  return out
}

/** From h2load's log: start in microseconds, HTTP status, duration in microseconds. */
function percentiles(log: string): { p50Ms: number; p99Ms: number } {
  const durations = log
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Number(line.split('\t')[2]))
    .sort((a, b) => a - b)
  if (durations.length === 0) throw new Error('h2load logged no request')
  const at = (share: number): number => (durations[Math.floor((durations.length - 1) * share)] ?? 0) / 1_000
  return { p50Ms: at(0.5), p99Ms: at(0.99) }
}

function grpcFrame(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}
