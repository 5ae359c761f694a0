import { QuorateError } from '../base/index.ts'

/**
 * The flags of the executable: etcd's names with etcd's meaning. One table from which parsing, the environment and
 * `--help` are made, so that none of them can forget a flag.
 */
export type FlagName =
  | 'name'
  | 'data-dir'
  | 'listen-client-urls'
  | 'advertise-client-urls'
  | 'listen-peer-urls'
  | 'initial-advertise-peer-urls'
  | 'initial-cluster'
  | 'initial-cluster-token'
  | 'initial-cluster-state'
  | 'peer-dial'
  | 'listen-metrics-urls'
  | 'log-level'
  | 'auto-compaction-mode'
  | 'auto-compaction-retention'
  | 'snapshot-count'
  | 'heartbeat-interval'
  | 'election-timeout'
  | 'max-request-bytes'
  | 'max-txn-ops'
  | 'max-learners'
  | 'watch-progress-notify-interval'
  | 'wal-segment-bytes'
  | 'snapshot-log-bytes'
  | 'http2-library'
export interface FlagSpec {
  readonly name: FlagName
  /** What stands behind the flag in the help: a placeholder, or undefined for a switch. */
  readonly value: string | undefined
  readonly fallback: string
  readonly help: string
  readonly section: 'Member' | 'Cluster' | 'Running' | 'Speed and limits'
}

export const flagSpecs: readonly FlagSpec[] = [
  flag('name', 'default', 'Member', 'NAME', 'Name of this member, for humans.'),
  flag('data-dir', './quorate.data', 'Member', 'PATH', 'Where everything is kept.'),
  flag(
    'listen-client-urls',
    'http://127.0.0.1:2379',
    'Member',
    'URLS',
    'Where clients connect (etcd v3 API over gRPC; /version, /health and /metrics over HTTP).',
  ),
  flag(
    'advertise-client-urls',
    '',
    'Member',
    'URLS',
    'What the other members tell clients; default: where it listens.',
  ),
  flag('listen-peer-urls', 'http://127.0.0.1:2380', 'Member', 'URLS', 'Where the other members connect.'),
  flag(
    'initial-advertise-peer-urls',
    '',
    'Cluster',
    'URLS',
    'What the other members dial; default: where it listens for peers.',
  ),
  flag(
    'initial-cluster',
    '',
    'Cluster',
    'NAME=URL,...',
    'All members at the first start, with their peer URLs; default: this one alone.',
  ),
  flag(
    'initial-cluster-token',
    'etcd-cluster',
    'Cluster',
    'TEXT',
    'Keeps clusters apart that use the same addresses.',
  ),
  flag(
    'initial-cluster-state',
    'new',
    'Cluster',
    'new|existing',
    'existing: this member was added to a running cluster.',
  ),
  flag(
    'peer-dial',
    '',
    'Cluster',
    'NAME=HOST:PORT,...',
    'Dial these members there instead of at their peer URL, for example through a proxy.',
  ),
  flag(
    'listen-metrics-urls',
    '',
    'Running',
    'URLS',
    'Where /status is served, beside what the client URLs also serve over HTTP: /metrics, /health, /livez, /readyz.',
  ),
  flag('log-level', 'info', 'Running', 'debug|info|warn|error', 'Lines below this level are not written.'),
  flag(
    'auto-compaction-mode',
    'periodic',
    'Running',
    'periodic|revision',
    'How the retention is meant: a time, or a number of revisions.',
  ),
  flag(
    'auto-compaction-retention',
    '0',
    'Running',
    'TIME|COUNT',
    'History to keep (5m, 2h, or hours as a number; a count in revision mode). 0: keep all.',
  ),
  flag('snapshot-count', '10000', 'Speed and limits', 'COUNT', 'Entries between two snapshots, at least.'),
  flag('heartbeat-interval', '100', 'Speed and limits', 'MS', 'Time between two heartbeats of the leader.'),
  flag(
    'election-timeout',
    '1000',
    'Speed and limits',
    'MS',
    'A silent leader is replaced after one to two times this.',
  ),
  flag(
    'http2-library',
    'own',
    'Speed and limits',
    'own|node',
    'Who speaks HTTP/2 with clients: this program, or the library of Node (slower).',
  ),
  flag('max-request-bytes', '1572864', 'Speed and limits', 'BYTES', 'The largest request a client may send.'),
  flag('max-txn-ops', '128', 'Speed and limits', 'COUNT', 'Operations in one transaction.'),
  flag('max-learners', '1', 'Speed and limits', 'COUNT', 'Learners in the cluster at one time.'),
  flag(
    'watch-progress-notify-interval',
    '10m',
    'Speed and limits',
    'TIME',
    'How often an idle watcher that asked for it hears of the revision.',
  ),
  flag(
    'wal-segment-bytes',
    '67108864',
    'Speed and limits',
    'BYTES',
    'Size of one file of the write-ahead log.',
  ),
  flag(
    'snapshot-log-bytes',
    '67108864',
    'Speed and limits',
    'BYTES',
    'A snapshot also waits until the log since the last one is larger than this, and than that one.',
  ),
]

export type FlagValues = Readonly<Record<FlagName, string>>

/** Flags of etcd that mean something Quorate does not have yet: refused by name, never ignored. */
const unsupported: readonly string[] = [
  'auth-token',
  'auth-token-ttl',
  'bcrypt-cost',
  'auto-tls',
  'backend-batch-interval',
  'backend-batch-limit',
  'backend-bbolt-freelist-type',
  'ca-file',
  'cert-file',
  'cipher-suites',
  'client-cert-auth',
  'client-cert-file',
  'client-crl-file',
  'client-key-file',
  'config-file',
  'corrupt-check-time',
  'cors',
  'discovery',
  'discovery-endpoints',
  'discovery-fallback',
  'discovery-proxy',
  'discovery-srv',
  'discovery-srv-name',
  'discovery-token',
  'enable-grpc-gateway',
  'enable-log-rotation',
  'enable-pprof',
  'enable-v2',
  'force-new-cluster',
  'grpc-keepalive-interval',
  'grpc-keepalive-min-time',
  'grpc-keepalive-timeout',
  'host-whitelist',
  'initial-election-tick-advance',
  'key-file',
  'listen-client-http-urls',
  'log-format',
  'log-outputs',
  'log-rotation-config-json',
  'logger',
  'max-concurrent-streams',
  'max-snapshots',
  'max-wals',
  'metrics',
  'peer-auto-tls',
  'peer-ca-file',
  'peer-cert-allowed-cn',
  'peer-cert-file',
  'peer-client-cert-auth',
  'peer-client-cert-file',
  'peer-client-key-file',
  'peer-crl-file',
  'peer-key-file',
  'peer-skip-client-san-verification',
  'peer-trusted-ca-file',
  'pre-vote',
  'proxy',
  'quota-backend-bytes',
  'self-signed-cert-validity',
  'snapshot-catchup-entries',
  'socket-reuse-address',
  'socket-reuse-port',
  'strict-reconfig-check',
  'tls-max-version',
  'tls-min-version',
  'trusted-ca-file',
  'unsafe-no-fsync',
  'v2-deprecation',
  'wal-dir',
  'warning-apply-duration',
]

/**
 * The value of every flag: command line over QUORATE_ over ETCD_ environment over the default; the last one on the command
 * line wins. Errors: `flag-unknown`, `flag-unsupported`, `flag-invalid`.
 */
export function parseFlags(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): FlagValues {
  const values: Record<string, string> = {}
  for (const spec of flagSpecs) {
    const name = spec.name.toUpperCase().replaceAll('-', '_')
    values[spec.name] = environment[`QUORATE_${name}`] ?? environment[`ETCD_${name}`] ?? spec.fallback
  }
  refuseUnsupportedEnvironment(environment)
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string
    const match = /^--?([a-z0-9][a-z0-9-]*)(?:=(.*))?$/s.exec(arg)
    if (match?.[1] === undefined)
      throw new QuorateError('flag-unknown', `"${arg}" is no flag; see quorate --help`)
    const spec = findFlag(match[1])
    let value = match[2]
    if (value === undefined) {
      i++
      value = args[i]
    }
    if (value === undefined)
      throw new QuorateError('flag-invalid', `--${spec.name} needs a value (${spec.value})`)
    values[spec.name] = value
  }
  return values as FlagValues
}

function findFlag(name: string): FlagSpec {
  const plain = name.replace(/^experimental-/, '')
  const spec = flagSpecs.find((candidate) => candidate.name === plain)
  if (spec !== undefined) return spec
  if (unsupported.includes(plain) || name.startsWith('experimental-')) {
    throw new QuorateError(
      'flag-unsupported',
      `--${name} is a flag of etcd that Quorate does not support yet; leave it out`,
    )
  }
  const near = flagSpecs.find(
    (candidate) => candidate.name.startsWith(plain) || plain.startsWith(candidate.name),
  )
  const hint = near === undefined ? 'see quorate --help' : `did you mean --${near.name}?`
  throw new QuorateError('flag-unknown', `there is no flag --${name}; ${hint}`)
}

function refuseUnsupportedEnvironment(environment: Readonly<Record<string, string | undefined>>): void {
  for (const name of unsupported) {
    const variable = name.toUpperCase().replaceAll('-', '_')
    for (const prefix of ['QUORATE_', 'ETCD_']) {
      if (environment[`${prefix}${variable}`] === undefined) continue
      const text = `${prefix}${variable} sets a flag of etcd that Quorate does not support yet; unset it`
      throw new QuorateError('flag-unsupported', text)
    }
  }
}

function flag(
  name: FlagName,
  fallback: string,
  section: FlagSpec['section'],
  value: string,
  help: string,
): FlagSpec {
  return { name, value, fallback, help, section }
}

/** The flags as `--help` shows them. */
export function flagHelp(): string {
  const lines: string[] = []
  for (const section of ['Member', 'Cluster', 'Running', 'Speed and limits'] as const) {
    lines.push(`${section}:`)
    for (const spec of flagSpecs.filter((candidate) => candidate.section === section)) {
      lines.push(`  --${spec.name} ${spec.value}`)
      const fallback = spec.fallback === '' ? '' : ` (${spec.fallback})`
      lines.push(`        ${spec.help}${fallback}`)
    }
    lines.push('')
  }
  return lines.join('\n')
}
