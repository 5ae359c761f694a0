import { QuorateError } from '../base/index.ts'
import type { Address, LogLevel } from '../io/index.ts'
import { type InitialMember, parseAddress } from '../node/index.ts'
import type { FlagName, FlagValues } from './flags.ts'

/** The configuration of one server, checked and with every default filled in. */
export interface ServerConfig {
  readonly name: string
  readonly dataDirectory: string
  readonly clientAddresses: readonly Address[]
  readonly advertisedClientUrls: readonly string[]
  readonly peerAddress: Address | undefined
  readonly peerUrls: readonly string[]
  readonly initialCluster: readonly InitialMember[]
  readonly initialToken: string
  readonly initialState: 'new' | 'existing'
  readonly dialAddresses: ReadonlyMap<string, Address>
  readonly metricsAddresses: readonly Address[]
  readonly logLevel: LogLevel
  readonly compaction: CompactionPolicy
  readonly snapshotCount: number
  readonly snapshotLogBytesMin: number
  readonly heartbeatMs: number
  readonly electionMs: number
  readonly requestBytesMax: number
  readonly http2Library: 'own' | 'node'
  readonly transactionOperationsMax: number
  readonly learnersMax: number
  readonly progressNotifyMs: number
  readonly segmentBytesMax: number
}

export type CompactionPolicy =
  | { readonly kind: 'off' }
  | { readonly kind: 'periodic'; readonly retentionMs: number }
  | { readonly kind: 'revision'; readonly retention: number }

/** Error `flag-invalid`, with the flag and what it takes. */
export function configFromFlags(values: FlagValues): ServerConfig {
  const peerListenUrls = urls(values, 'listen-peer-urls')
  if (peerListenUrls.length > 1) throw invalid('listen-peer-urls', 'one address is supported')
  const clientUrls = urls(values, 'listen-client-urls')
  if (clientUrls.length === 0) throw invalid('listen-client-urls', 'at least one URL is needed')
  const ownPeerUrls = urls(values, 'initial-advertise-peer-urls')
  const peerUrls = ownPeerUrls.length > 0 ? ownPeerUrls : peerListenUrls
  const name = values.name
  const heartbeatMs = number(values, 'heartbeat-interval', 10, 60_000)
  const electionMs = number(values, 'election-timeout', 50, 600_000)
  if (electionMs < 5 * heartbeatMs) {
    throw invalid('election-timeout', `must be at least five times --heartbeat-interval (${heartbeatMs} ms)`)
  }
  const advertised = urls(values, 'advertise-client-urls')
  return {
    name,
    dataDirectory: values['data-dir'],
    clientAddresses: clientUrls.map(parseAddress),
    advertisedClientUrls: advertised.length > 0 ? advertised : clientUrls,
    peerAddress: peerListenUrls[0] === undefined ? undefined : parseAddress(peerListenUrls[0]),
    peerUrls,
    initialCluster: initialCluster(values, name, peerUrls),
    initialToken: values['initial-cluster-token'],
    initialState: choice(values, 'initial-cluster-state', ['new', 'existing']),
    dialAddresses: dialAddresses(values),
    metricsAddresses: urls(values, 'listen-metrics-urls').map(parseAddress),
    logLevel: choice(values, 'log-level', ['debug', 'info', 'warn', 'error']),
    compaction: compactionPolicy(values),
    snapshotCount: number(values, 'snapshot-count', 1, 1e12),
    snapshotLogBytesMin: number(values, 'snapshot-log-bytes', 0, 1e12),
    heartbeatMs,
    electionMs,
    http2Library: choice(values, 'http2-library', ['own', 'node']),
    requestBytesMax: number(values, 'max-request-bytes', 1024, 64 * 1024 * 1024),
    transactionOperationsMax: number(values, 'max-txn-ops', 1, 1_000_000),
    learnersMax: number(values, 'max-learners', 0, 1_000),
    progressNotifyMs: duration(values, 'watch-progress-notify-interval'),
    segmentBytesMax: number(values, 'wal-segment-bytes', 64 * 1024, 1024 * 1024 * 1024),
  }
}

function initialCluster(
  values: FlagValues,
  name: string,
  peerUrls: readonly string[],
): readonly InitialMember[] {
  const text = values['initial-cluster']
  if (text === '') return [{ name, peerUrls }]
  const byName = new Map<string, string[]>()
  for (const [member, url] of pairs(values, 'initial-cluster')) {
    checkUrl('initial-cluster', url)
    byName.set(member, [...(byName.get(member) ?? []), url])
  }
  const self = byName.get(name)
  if (self === undefined) throw invalid('initial-cluster', `does not name this member, "${name}" (--name)`)
  if ([...self].sort().join() !== [...peerUrls].sort().join()) {
    const text = `gives "${name}" ${self.join()}, but --initial-advertise-peer-urls (or --listen-peer-urls) is ${peerUrls.join()}`
    throw invalid('initial-cluster', text)
  }
  return [...byName].map(([member, memberUrls]) => ({ name: member, peerUrls: memberUrls }))
}

function dialAddresses(values: FlagValues): ReadonlyMap<string, Address> {
  return new Map(pairs(values, 'peer-dial').map(([name, text]) => [name, address('peer-dial', text)]))
}

function pairs(values: FlagValues, name: FlagName): [string, string][] {
  return values[name]
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const at = part.indexOf('=')
      if (at <= 0) throw invalid(name, `"${part}" is not of the form NAME=URL`)
      return [part.slice(0, at), part.slice(at + 1)]
    })
}

function compactionPolicy(values: FlagValues): CompactionPolicy {
  const mode = choice(values, 'auto-compaction-mode', ['periodic', 'revision'])
  const text = values['auto-compaction-retention']
  if (text === '0' || text === '') return { kind: 'off' }
  if (mode === 'revision')
    return { kind: 'revision', retention: number(values, 'auto-compaction-retention', 1, 1e15) }
  // A bare number means hours, as in etcd.
  const retentionMs = /^\d+$/.test(text)
    ? Number(text) * 3_600_000
    : duration(values, 'auto-compaction-retention')
  return { kind: 'periodic', retentionMs }
}

function urls(values: FlagValues, name: FlagName): string[] {
  const list = values[name].split(',').filter((url) => url !== '')
  for (const url of list) checkUrl(name, url)
  return list
}

function checkUrl(name: FlagName, url: string): void {
  if (url.startsWith('https://')) throw invalid(name, `"${url}": TLS is not supported yet, use http://`)
  if (!url.startsWith('http://')) throw invalid(name, `"${url}" must be of the form http://host:port`)
  address(name, url)
}

function address(name: FlagName, text: string): Address {
  try {
    return parseAddress(text)
  } catch (error) {
    throw invalid(name, error instanceof Error ? error.message : String(error))
  }
}

function number(values: FlagValues, name: FlagName, min: number, max: number): number {
  const value = Number(values[name])
  if (!/^\d+$/.test(values[name]) || value < min || value > max) {
    throw invalid(name, `"${values[name]}" is no whole number from ${min} to ${max}`)
  }
  return value
}

function choice<Choice extends string>(
  values: FlagValues,
  name: FlagName,
  choices: readonly Choice[],
): Choice {
  const found = choices.find((candidate) => candidate === values[name])
  if (found === undefined) throw invalid(name, `"${values[name]}" is none of ${choices.join(', ')}`)
  return found
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** Go's way to write a time: 1h30m, 500ms. */
function duration(values: FlagValues, name: FlagName): number {
  const text = values[name]
  let totalMs = 0
  const rest = text.replace(/(\d+(?:\.\d+)?)(ms|s|m|h)/g, (_, amount: string, unit: string) => {
    totalMs += Number(amount) * (unitMs[unit] ?? 0)
    return ''
  })
  if (rest !== '' || totalMs <= 0) throw invalid(name, `"${text}" is no time such as 10s, 5m or 1h30m`)
  return totalMs
}

function invalid(name: FlagName, text: string): QuorateError {
  return new QuorateError('flag-invalid', `--${name}: ${text}`)
}
