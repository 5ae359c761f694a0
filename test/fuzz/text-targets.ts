import { utf8Decode, utf8Encode } from '../../src/base/index.ts'
import { parseAddress } from '../../src/node/peer-url.ts'
import { configFromFlags, type ServerConfig } from '../../src/server/config.ts'
import { parseFlags } from '../../src/server/flags.ts'
import type { FuzzTarget } from './target.ts'

const textOf = (input: Uint8Array): string => utf8Decode(input) ?? Buffer.from(input).toString('latin1')

const commandLines = [
  '--name n1 --data-dir /data',
  '--name=n1 --initial-cluster n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380 --listen-peer-urls http://10.0.0.1:2380',
  '--listen-client-urls http://127.0.0.1:2379,http://[::1]:2379 --advertise-client-urls http://a:1',
  '--auto-compaction-mode revision --auto-compaction-retention 1000 --snapshot-count 5',
  '--auto-compaction-retention 5m --heartbeat-interval 100 --election-timeout 1000 --max-txn-ops 128',
  '--peer-dial n2=127.0.0.1:9 --watch-progress-notify-interval 10m --log-level debug',
  'QUORATE_NAME=n1 ETCD_DATA_DIR=/x --initial-cluster-state existing',
  '--cert-file x',
]

/** What a person writes: words divided by blanks; those in capitals with `=` are environment. */
export function textTargets(): FuzzTarget[] {
  return [
    {
      name: 'flags',
      seeds: commandLines.map((line) => utf8Encode(line)),
      read: (input) => {
        const words = textOf(input).split(' ')
        const isVariable = (word: string): boolean => /^(QUORATE|ETCD)_[A-Z_]+=/.test(word)
        const environment = Object.fromEntries(
          words
            .filter(isVariable)
            .map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
        )
        return configFromFlags(
          parseFlags(
            words.filter((word) => !isVariable(word)),
            environment,
          ),
        )
      },
      refusals: ['flag-unknown', 'flag-unsupported', 'flag-invalid'],
      judge: judgeConfig,
    },
    {
      name: 'address',
      seeds: ['http://127.0.0.1:2380', '[::1]:2379', 'host:1/', 'http://größe:65535'].map((text) =>
        utf8Encode(text),
      ),
      read: (input) => parseAddress(textOf(input)),
      refusals: ['address-invalid'],
      judge: ({ host, port }: { host: string; port: number }) =>
        host !== '' && port >= 0 && port <= 65_535 ? undefined : `reads ${host} ${port}`,
    },
  ]
}

/** Whatever is taken can be run: every number is a number in its range. */
function judgeConfig(config: ServerConfig): string | undefined {
  for (const [name, value] of Object.entries(config)) {
    if (typeof value === 'number' && !(Number.isFinite(value) && value >= 0)) return `${name} is ${value}`
  }
  const { compaction } = config
  if (compaction.kind === 'periodic' && !(compaction.retentionMs > 0))
    return `keeps ${compaction.retentionMs} ms`
  return Object.getPrototypeOf({}) === Object.prototype ? undefined : 'changed a prototype'
}
