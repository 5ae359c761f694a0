// The table of etcdctl invocations and what they must print. Expectations were taken from etcdctl against a real etcd
// and are checked against one; a case that a real etcd fails is wrong here.

export type Step = {
  /** Arguments of etcdctl. `$P` is a prefix of this case alone; `$NAME` what an earlier step kept. */
  run?: string
  stdin?: string
  /** Exit code, 0 unless said. */
  code?: number
  /** The whole normalised standard output. */
  out?: string
  /** A regular expression that the standard output must contain. */
  match?: string
  /** A part of the standard error. */
  err?: string
  /** A part of what is written to either stream: the versions of etcdctl differ in which. */
  says?: string
  /** Variables to keep: name to regular expression with one group. */
  keep?: Record<string, string>
  /** Goes on running; the step is over once its output is what is expected. */
  background?: true
  /** `out` and `match` are of the first background command, after this one has ended. */
  expectOfBackground?: true
  /** The first background command must come to say what is expected. */
  awaitBackground?: true
  /** Like `run`, asked again until the output is what is expected. */
  waitFor?: string
  /** Ends the first background command. */
  stop?: 'SIGINT' | 'SIGKILL'
}

export type EtcdctlCase = { name: string; nodesMin?: number; steps: Step[] }

const header = '"header":\\{[^}]*"revision":(\\d+)'

/** Columns of `endpoint status` between the version and whether it leads; each version of etcdctl has more of them. */
const sizes = '(?:(?!true|false)[^,\\n]*, )*'

/** Five keys: values in the opposite order of keys, versions and creation mixed. */
const fiveKeys: Step[] = [
  { run: 'put $P/c 3', out: 'OK\n' },
  { run: 'put $P/a 5', out: 'OK\n' },
  { run: 'put $P/e 1', out: 'OK\n' },
  { run: 'put $P/b 4', out: 'OK\n' },
  { run: 'put $P/d 2', out: 'OK\n' },
  { run: 'put $P/c 3', out: 'OK\n' },
]

const reading: EtcdctlCase[] = [
  {
    name: 'put and get',
    steps: [
      { run: 'put $P/a 1', out: 'OK\n' },
      { run: 'put $P/a 2 --prev-kv', out: 'OK\n$P/a\n1\n' },
      { run: 'get $P/a', out: '$P/a\n2\n' },
      { run: 'get $P/a --print-value-only', out: '2\n' },
      { run: 'get $P/a --consistency=s', out: '$P/a\n2\n' },
      { run: 'get $P/none', out: '' },
      { run: "put $P/empty ''", out: 'OK\n' },
      { run: 'get $P/empty', out: '$P/empty\n\n' },
      { run: 'put $P/stdin', stdin: 'from stdin', out: 'OK\n' },
      { run: 'get $P/stdin --print-value-only', out: 'from stdin\n' },
      {
        run: 'get $P/a -w json',
        keep: { R: header },
        match: '"version":2,"value":"Mg=="\\}\\],"count":1\\}',
      },
      {
        run: 'get $P/a -w fields',
        match: '"Version" : 2\n"Value" : "2"\n"Lease" : 0\n"More" : false\n"Count" : 1\n',
      },
      { run: 'get $P/a --hex', match: '\\\\x32\n' },
    ],
  },
  {
    name: 'get by range, limit and order',
    steps: [
      ...fiveKeys,
      { run: 'get $P/ --prefix --keys-only', out: '$P/a\n\n$P/b\n\n$P/c\n\n$P/d\n\n$P/e\n\n' },
      { run: 'get $P/ --prefix --limit=2', out: '$P/a\n5\n$P/b\n4\n' },
      { run: 'get $P/ --prefix --print-value-only --order=DESCEND', out: '1\n2\n3\n4\n5\n' },
      { run: 'get $P/ --prefix --print-value-only --sort-by=VALUE', out: '1\n2\n3\n4\n5\n' },
      { run: 'get $P/ --prefix --print-value-only --sort-by=VALUE --order=DESCEND --limit=2', out: '5\n4\n' },
      { run: 'get $P/ --prefix --print-value-only --sort-by=CREATE', out: '3\n5\n1\n4\n2\n' },
      { run: 'get $P/ --prefix --print-value-only --sort-by=MODIFY --order=DESCEND', out: '3\n2\n4\n1\n5\n' },
      { run: 'get $P/ --prefix --print-value-only --sort-by=VERSION --order=DESCEND --limit=1', out: '3\n' },
      { run: 'get $P/b $P/d', out: '$P/b\n4\n$P/c\n3\n' },
      { run: 'get $P/d --from-key --limit=2', out: '$P/d\n2\n$P/e\n1\n' },
      { run: 'get $P/ --prefix --limit=2 -w json', match: '"more":true,"count":5\\}' },
    ],
  },
  {
    name: 'get in history',
    steps: [
      { run: 'put $P/a 1', out: 'OK\n' },
      { run: 'get $P/a -w json', keep: { R: header } },
      { run: 'put $P/a 2', out: 'OK\n' },
      { run: 'del $P/a', out: '1\n' },
      { run: 'get $P/a', out: '' },
      { run: 'get $P/a --rev=$R', out: '$P/a\n1\n' },
      {
        run: 'get $P/a --rev=999999999',
        code: 1,
        err: 'etcdserver: mvcc: required revision is a future revision',
      },
    ],
  },
]

const writing: EtcdctlCase[] = [
  {
    name: 'del',
    steps: [
      ...fiveKeys,
      { run: 'del $P/a --prev-kv', out: '1\n$P/a\n5\n' },
      { run: 'del $P/a', out: '0\n' },
      { run: 'del $P/b $P/d', out: '2\n' },
      { run: 'del $P/ --prefix --prev-kv', out: '2\n$P/d\n2\n$P/e\n1\n' },
      { run: 'get $P/ --prefix', out: '' },
    ],
  },
  {
    name: 'put refused or partial',
    steps: [
      { run: 'put $P/a --ignore-value', code: 1, err: 'etcdserver: key not found' },
      { run: 'put $P/a 1 --lease=7fffffffffffff01', code: 1, err: 'etcdserver: requested lease not found' },
      { run: 'put $P/a 1', out: 'OK\n' },
      { run: 'put $P/a --ignore-value --prev-kv', out: 'OK\n$P/a\n1\n' },
      { run: 'get $P/a -w fields', match: '"Version" : 2\n"Value" : "1"\n' },
    ],
  },
  {
    name: 'txn',
    steps: [
      {
        run: 'txn',
        stdin: 'version("$P/a") = "0"\n\nput $P/a x\nget $P/a\n\nput $P/a y\n\n',
        out: 'SUCCESS\n\nOK\n\n$P/a\nx\n',
      },
      {
        run: 'txn',
        stdin: 'version("$P/a") = "0"\n\nput $P/a x\n\nput $P/b y\nget $P/ --prefix\n\n',
        out: 'FAILURE\n\nOK\n\n$P/a\nx\n$P/b\ny\n',
      },
      {
        run: 'txn',
        stdin: 'value("$P/a") > "w"\nmod("$P/b") > "1"\ncreate("$P/none") = "0"\n\ndel $P/a\n\n\n',
        out: 'SUCCESS\n\n1\n',
      },
      {
        run: 'txn',
        stdin: '\nput $P/d 1\nput $P/d 2\n\n\n',
        code: 1,
        err: 'etcdserver: duplicate key given in txn request',
      },
      { run: 'get $P/d', out: '' },
      { run: 'txn --interactive', stdin: '\nput $P/i 1\n\n\n', match: 'SUCCESS\n\nOK\n' },
    ],
  },
  {
    name: 'compaction',
    steps: [
      { run: 'put $P/a 1', out: 'OK\n' },
      { run: 'get $P/a -w json', keep: { OLD: header } },
      { run: 'put $P/a 2', out: 'OK\n' },
      { run: 'get $P/a -w json', keep: { R: header } },
      { run: 'compaction $R', out: 'compacted revision $R\n' },
      { run: 'get $P/a --rev=$OLD', code: 1, err: 'etcdserver: mvcc: required revision has been compacted' },
      { run: 'get $P/a --rev=$R', out: '$P/a\n2\n' },
      { run: 'compaction $R', code: 1, err: 'etcdserver: mvcc: required revision has been compacted' },
      {
        run: 'compaction 999999999',
        code: 1,
        err: 'etcdserver: mvcc: required revision is a future revision',
      },
      { run: 'put $P/a 3', out: 'OK\n' },
      { run: 'get $P/a -w json', keep: { R: header } },
      { run: 'compaction --physical $R', out: 'compacted revision $R\n' },
      { run: 'watch $P/a --rev=$OLD', code: 5, err: 'required revision has been compacted' },
    ],
  },
]

const watching: EtcdctlCase[] = [
  {
    name: 'watch from a revision, with previous values',
    steps: [
      { run: 'put $P/a 1', out: 'OK\n' },
      { run: 'get $P/a -w json', keep: { R: header } },
      { run: 'put $P/a 2', out: 'OK\n' },
      { run: 'del $P/a', out: '1\n' },
      { run: 'watch $P/a --rev=$R', background: true, out: 'PUT\n$P/a\n1\nPUT\n$P/a\n2\nDELETE\n$P/a\n\n' },
      { stop: 'SIGINT' },
      {
        run: 'watch $P/a --rev=$R --prev-kv',
        background: true,
        out: 'PUT\n$P/a\n1\nPUT\n$P/a\n1\n$P/a\n2\nDELETE\n$P/a\n2\n$P/a\n\n',
      },
      { stop: 'SIGINT' },
    ],
  },
  {
    name: 'watch as it happens',
    steps: [
      { run: 'put $P/a 0', out: 'OK\n' },
      { run: 'get $P/a -w json', keep: { R: header } },
      { run: 'watch $P/ --prefix --rev=$R', background: true, out: 'PUT\n$P/a\n0\n' },
      { run: 'put $P/x 1', expectOfBackground: true, out: 'PUT\n$P/a\n0\nPUT\n$P/x\n1\n' },
      {
        run: 'txn',
        stdin: '\nput $P/y 1\ndel $P/x\n\n\n',
        expectOfBackground: true,
        out: 'PUT\n$P/a\n0\nPUT\n$P/x\n1\nPUT\n$P/y\n1\nDELETE\n$P/x\n\n',
      },
      { stop: 'SIGINT' },
    ],
  },
]

const leasing: EtcdctlCase[] = [
  {
    name: 'lease',
    steps: [
      {
        run: 'lease grant 600',
        match: '^lease [0-9a-f]+ granted with TTL\\(600s\\)\n$',
        keep: { L: 'lease ([0-9a-f]+) ' },
      },
      { run: 'lease list', match: '\n$L\n' },
      { run: 'put $P/a 1 --lease=$L', out: 'OK\n' },
      { run: 'put $P/b 2 --lease=$L', out: 'OK\n' },
      { run: 'put $P/a 3 --ignore-lease', out: 'OK\n' },
      {
        run: 'lease timetolive $L --keys',
        match:
          '^lease $L granted with TTL\\(600s\\), remaining\\(5\\d\\ds\\), attached keys\\(\\[($P/a $P/b|$P/b $P/a)\\]\\)\n$',
      },
      { run: 'lease keep-alive --once $L', out: 'lease $L keepalived with TTL(600)\n' },
      { run: 'put $P/b 4', out: 'OK\n' },
      { run: 'lease timetolive $L --keys', match: 'attached keys\\(\\[$P/a\\]\\)\n$' },
      { run: 'lease revoke $L', out: 'lease $L revoked\n' },
      { run: 'get $P/ --prefix', out: '$P/b\n4\n' },
      { run: 'lease timetolive $L', out: 'lease $L already expired\n' },
      { run: 'lease revoke $L', code: 1, err: 'etcdserver: requested lease not found' },
      { run: 'lease keep-alive --once $L', code: 2, err: 'etcdserver: requested lease not found' },
    ],
  },
  {
    name: 'lease expiry deletes its keys and watchers hear of it',
    steps: [
      { run: 'lease grant 2', match: 'granted with TTL\\(2s\\)', keep: { L: 'lease ([0-9a-f]+) ' } },
      { run: 'put $P/a 1 --lease=$L', out: 'OK\n' },
      { run: 'get $P/a -w json', keep: { R: header } },
      { run: 'watch $P/a --rev=$R', background: true, out: 'PUT\n$P/a\n1\nDELETE\n$P/a\n\n' },
      { stop: 'SIGINT' },
      { run: 'get $P/a', out: '' },
    ],
  },
  {
    name: 'lock',
    steps: [
      { run: 'lock $P/l echo held', out: 'held\n' },
      { run: 'lock $P/l', background: true, match: '^$P/l/[0-9a-f]+\n+$' },
      { run: 'get $P/l --prefix --keys-only', match: '^$P/l/[0-9a-f]+\n\n$' },
      { run: 'lock $P/l echo second', background: true, match: '' },
      { waitFor: 'get $P/l --prefix --keys-only', match: '^$P/l/[0-9a-f]+\n\n$P/l/[0-9a-f]+\n\n$' },
      { stop: 'SIGINT' },
      { awaitBackground: true, out: 'second\n' },
      { run: 'lock $P/l echo third', out: 'third\n' },
    ],
  },
  {
    name: 'elect',
    steps: [
      { run: 'elect $P/e one', background: true, match: '^$P/e/[0-9a-f]+\none\n$' },
      { run: 'get $P/e --prefix --print-value-only', out: 'one\n' },
      { stop: 'SIGINT' },
      { run: 'elect $P/e two', background: true, match: '^$P/e/[0-9a-f]+\ntwo\n$' },
      { stop: 'SIGINT' },
      { run: 'get $P/e --prefix', out: '' },
    ],
  },
]

const maintaining: EtcdctlCase[] = [
  {
    name: 'endpoint',
    steps: [
      { run: 'endpoint health', says: 'is healthy: successfully committed proposal' },
      {
        run: 'endpoint status -w json',
        match:
          '"version":"3\\.\\d+\\.\\d+","dbSize":\\d+,"leader":\\d+,"raftIndex":\\d+,"raftTerm":\\d+,"raftAppliedIndex":\\d+',
      },
      {
        run: 'endpoint status',
        match: `^$ENDPOINT, [0-9a-f]+, 3\\.\\d+\\.\\d+, ${sizes}(true|false), false, \\d+, \\d+, \\d+, `,
      },
      { run: 'endpoint hashkv', match: '^$ENDPOINT, \\d+(, \\d+)?\n' },
    ],
  },
  {
    // etcdctl 3.4 sends the whole URL as :authority then.
    name: 'endpoint with a scheme',
    steps: [
      { run: '--endpoints=http://$ENDPOINT endpoint status', match: '^http://$ENDPOINT, ' },
      { run: '--endpoints=http://$ENDPOINT endpoint hashkv', match: '^http://$ENDPOINT, [0-9]+' },
      { run: '--endpoints=http://$ENDPOINT endpoint health', says: 'is healthy' },
    ],
  },
  {
    name: 'every replica has the same hash',
    nodesMin: 3,
    steps: [
      { run: 'put $P/a 1', out: 'OK\n' },
      { run: 'get $P/a -w json', keep: { R: header } },
      { run: 'endpoint hashkv --rev=$R', keep: { H: '^[^,]+, (\\d+)' } },
      { run: 'endpoint hashkv --rev=$R', match: '^([^,]+, $H(, \\d+)?\n){3}$' },
    ],
  },
  {
    name: 'member, alarm, defrag',
    steps: [
      { run: 'member list', match: '^[0-9a-f]+, started, \\S+, http://\\S+, http://\\S+, false\n' },
      {
        run: 'member list -w json',
        match:
          '"members":\\[\\{"ID":\\d+,"name":"[^"]+","peerURLs":\\["[^"]+"\\],"clientURLs":\\["[^"]+"\\]\\}',
      },
      { run: 'member remove 1234', code: 1, err: 'etcdserver: member not found' },
      { run: 'alarm list', out: '' },
      { run: 'alarm disarm', out: '' },
      { run: 'defrag', match: '^Finished defragmenting etcd member\\[$ENDPOINT\\](\\. took .*)?\n' },
    ],
  },
  {
    name: 'a learner is added, not promoted before it has the log, moved and removed',
    nodesMin: 3,
    steps: [
      {
        run: 'member add learner --learner --peer-urls=http://127.0.0.1:9',
        keep: { ID: '^Member +([0-9a-f]+) added (?:as learner )?to cluster +[0-9a-f]+\n' },
      },
      {
        run: 'member promote $ID',
        code: 1,
        err: 'etcdserver: can only promote a learner member which is in sync with leader',
      },
      {
        run: 'member update $ID --peer-urls=http://127.0.0.1:11',
        match: '^Member +$ID updated in cluster +[0-9a-f]+\n',
      },
      { waitFor: 'member list', match: '$ID, unstarted, , http://127.0.0.1:11, ' },
      { run: 'member remove $ID', match: '^Member +$ID removed from cluster +[0-9a-f]+\n' },
      { run: 'member remove $ID', code: 1, err: 'etcdserver: member not found' },
      { run: 'put $P/a 1', out: 'OK\n' },
    ],
  },
  {
    name: 'snapshot save',
    steps: [
      { run: 'put $P/a 1', out: 'OK\n' },
      { run: '--endpoints=$ENDPOINT snapshot save $DIR/$P.db', match: '^Snapshot saved at $DIR/$P.db\n' },
    ],
  },
  {
    name: 'move-leader',
    nodesMin: 3,
    steps: [
      { run: 'put $P/a 1', out: 'OK\n' },
      { run: 'endpoint status', keep: { ID: `, ([0-9a-f]{8,}), ${sizes}false` } },
      { run: 'move-leader 1234', code: 1, err: 'etcdserver: bad leader transferee' },
      { run: 'move-leader $ID', match: '^Leadership transferred from [0-9a-f]+ to $ID\n$' },
      { run: 'put $P/a 2', out: 'OK\n' },
      { run: 'endpoint status', match: `, $ID, ${sizes}true` },
      { run: 'get $P/a', out: '$P/a\n2\n' },
    ],
  },
]

export const etcdctlCases: readonly EtcdctlCase[] = [
  ...reading,
  ...writing,
  ...watching,
  ...leasing,
  ...maintaining,
]
