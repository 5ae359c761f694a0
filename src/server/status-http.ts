import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { formatId, QuorateError } from '../base/index.ts'
import type { Address } from '../io/index.ts'
import { metricsText } from './metrics.ts'
import type { ServerStatus } from './status.ts'
import { etcdVersion } from './version.ts'

/** What plain HTTP can ask: as in etcd on every port, and our own status where it was asked for. */
export interface StatusSource {
  status(): ServerStatus
  /** A quorum confirmed, within the deadline, that this node can serve linearizable reads. */
  canRead(): Promise<boolean>
}

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void

export function createHttpHandler(source: StatusSource, hasStatus: boolean): HttpHandler {
  return (request, response) => {
    respond(source, hasStatus, request, response).catch((error: unknown) => {
      send(response, 500, 'text/plain', error instanceof Error ? error.message : String(error))
    })
  }
}

export async function listenHttp(handler: HttpHandler, address: Address): Promise<Server> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, handler)
  server.on('clientError', (_error, socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const inUse = error.code === 'EADDRINUSE'
      const text = `cannot serve HTTP on ${address.host}:${address.port}: ${error.message}`
      reject(new QuorateError(inUse ? 'address-in-use' : 'address-invalid', text, { cause: error }))
    })
    server.listen(address.port, address.host, resolve)
  })
  server.on('error', () => undefined)
  return server
}

async function respond(
  source: StatusSource,
  hasStatus: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = URL.parse(request.url ?? '/', 'http://localhost')
  if (url === null) {
    send(response, 400, 'text/plain', 'this is no path\n')
    return
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    send(response, 405, 'text/plain', 'only GET is served here\n')
    return
  }
  switch (url.pathname) {
    case '/version':
      sendJson(response, 200, {
        etcdserver: etcdVersion,
        etcdcluster: shortVersion(etcdVersion),
        storage: shortVersion(etcdVersion),
      })
      return
    case '/health':
      await sendHealth(source, url, response)
      return
    case '/livez':
      send(response, 200, 'text/plain', 'ok\n')
      return
    case '/readyz': {
      const ready = await source.canRead()
      send(response, ready ? 200 : 503, 'text/plain', ready ? 'ok\n' : 'no linearizable read is possible\n')
      return
    }
    case '/metrics':
      send(response, 200, 'text/plain; version=0.0.4', metricsText(source.status()))
      return
    case '/status':
      if (!hasStatus) break
      sendJson(response, 200, plain(source.status()))
      return
  }
  send(response, 404, 'text/plain', 'not found; see --listen-metrics-urls for /status\n')
}

async function sendHealth(source: StatusSource, url: URL, response: ServerResponse): Promise<void> {
  const isSerializable = url.searchParams.get('serializable') === 'true'
  const status = source.status()
  const hasLeader = status.group.leader !== 0n
  const isHealthy = isSerializable || (hasLeader && (await source.canRead()))
  const reason = isHealthy
    ? ''
    : hasLeader
      ? 'RANGE ERROR:no linearizable read is possible'
      : 'RAFT NO LEADER'
  sendJson(response, isHealthy ? 200 : 503, { health: String(isHealthy), reason })
}

function shortVersion(version: string): string {
  return `${version.split('.').slice(0, 2).join('.')}.0`
}

/** Ids as text and maps as objects, so that the status is plain JSON. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return formatId(value)
  if (value instanceof Map) {
    return Object.fromEntries(
      [...value].map(([key, item]) => [typeof key === 'bigint' ? formatId(key) : key, plain(item)]),
    )
  }
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
  }
  return value
}

function sendJson(response: ServerResponse, code: number, body: unknown): void {
  send(response, code, 'application/json', `${JSON.stringify(body)}\n`)
}

function send(response: ServerResponse, code: number, type: string, body: string): void {
  response.writeHead(code, { 'content-type': type, 'content-length': Buffer.byteLength(body) })
  response.end(body)
}
