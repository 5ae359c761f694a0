import { etcdVersion, flagHelp, quorateVersion } from '../server/index.ts'

export function helpText(): string {
  return `Quorate: a replicated write-ahead log that speaks the etcd v3 API.

Usage:
  quorate [flags]            one node; with the defaults a cluster of one on 127.0.0.1:2379
  quorate cluster [flags]    three nodes on this machine (client ports 2379, 22379, 32379), restarted when they die;
                             --listen-client-urls, --listen-peer-urls and --listen-metrics-urls take three URLs
  quorate --help             this text
  quorate --version

Try it (any etcd client works):
  quorate &
  etcdctl --endpoints=127.0.0.1:2379 put greeting hello
  etcdctl --endpoints=127.0.0.1:2379 get greeting

Three nodes by hand, one command each on its own machine:
  quorate --name n1 --listen-client-urls http://10.0.0.1:2379 --listen-peer-urls http://10.0.0.1:2380 \\
    --initial-cluster n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380

Flags have etcd's names and meaning. They can also be set as QUORATE_NAME or ETCD_NAME in the environment
(--data-dir is QUORATE_DATA_DIR); the command line wins. A flag of etcd that is not listed here is refused by name.

${flagHelp()}
Exit codes: 0 stopped as asked, 1 failed (a restart may help), 2 wrong flag, 3 the data must not be used as it is,
4 address or data directory in use, 5 this member was removed from the cluster.
`
}

export function versionText(): string {
  return `quorate Version: ${quorateVersion}\netcd Version: ${etcdVersion} compatible\n`
}
