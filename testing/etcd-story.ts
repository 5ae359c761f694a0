// Stories about the etcd API: one request a command, its answer below it. The same file runs against the services of
// this repository (npm test) and against a real etcd (testing/compare-with-etcd.ts).
import { type GrpcError, grpcStatus, type Metadata } from '../src/grpc/index.ts'
import { decodeToText, encodeText } from './etcd-text.ts'
import type { CaseCommand, CaseHandler } from './testdata.ts'

export interface StoryAnswer {
  readonly message: Uint8Array | undefined
  readonly error: Pick<GrpcError, 'status' | 'message' | 'trailers'> | undefined
}
export interface StoryStream {
  write(message: Uint8Array): void
  halfClose(): void
  cancel(): void
  /** Messages that came since the last call. */
  read(): Uint8Array[]
  readonly ending: 'open' | 'ended' | Pick<GrpcError, 'status' | 'message'>
}
export interface StoryTarget {
  call(path: string, request: Uint8Array, metadata: Metadata): Promise<StoryAnswer>
  open(path: string, metadata: Metadata): StoryStream
  /** What had to come on the streams has come. */
  settle(): Promise<void>
}

interface Method {
  readonly path: string
  readonly request: string
  readonly response: string
}
const services: Readonly<Record<string, string>> = {
  'etcdserverpb.KV': 'Range Put DeleteRange Txn Compact:Compaction RangeStream:Range',
  'etcdserverpb.Watch': 'Watch',
  'etcdserverpb.Lease': 'LeaseGrant LeaseRevoke LeaseKeepAlive LeaseTimeToLive LeaseLeases',
  'etcdserverpb.Cluster': 'MemberAdd MemberRemove MemberUpdate MemberPromote MemberList',
  'etcdserverpb.Maintenance': 'Alarm Status Defragment Hash HashKV Snapshot MoveLeader Downgrade',
  'etcdserverpb.Auth':
    'AuthStatus Authenticate AuthDisable AuthEnable UserAdd UserGet UserList UserDelete UserChangePassword ' +
    'UserGrantRole UserRevokeRole RoleAdd RoleGet RoleList RoleDelete RoleGrantPermission RoleRevokePermission',
  'v3lockpb.Lock': 'Lock Unlock',
  'v3electionpb.Election': 'Campaign Proclaim Leader Observe Resign',
}
const methods = new Map<string, Method>()
for (const [service, names] of Object.entries(services)) {
  for (const entry of names.split(' ')) {
    const [name = '', message = name] = entry.split(':')
    const method = {
      path: `/${service}/${name}`,
      request: `${message}Request`,
      response: `${message}Response`,
    }
    methods.set(name, method)
  }
}
const streamMethods = ['Watch', 'LeaseKeepAlive', 'Snapshot']

/** Messages without fields, and requests that nobody looks into. */
const bareRequest =
  /^(LeaseLeases|Status|Defragment|Hash(?!KV)|Snapshot|Auth|User|Role|Lock|Unlock|Campaign|Proclaim|Leader|Observe|Resign)/
const headerOnly = /^(AuthDisable|AuthEnable|UserList|RoleList)Response$/

/** `extra` runs the commands that only one target knows; undefined: not one of them. */
export function createStory(
  target: StoryTarget,
  extra: (command: CaseCommand) => Promise<string | undefined> = async () => undefined,
): CaseHandler {
  const streams = new Map<string, { stream: StoryStream; response: string; isOver: boolean }>()
  const readStreams = async (): Promise<string[]> => {
    await target.settle()
    const lines: string[] = []
    for (const [name, one] of streams) {
      for (const bytes of one.stream.read()) lines.push(`${name} < ${decodeToText(one.response, bytes)}`)
      const { ending } = one.stream
      if (ending === 'open' || one.isOver) continue
      one.isOver = true
      lines.push(`${name} ${ending === 'ended' ? 'ended' : printError(ending)}`)
    }
    return lines
  }
  const act = async (command: CaseCommand): Promise<string> => {
    const metadata = new Map(
      command.args
        .filter((arg) => arg.startsWith('@'))
        .map((arg) => arg.slice(1).split('=') as [string, string]),
    )
    const rest = command.args.filter((arg) => !arg.startsWith('@'))
    const method = methods.get(command.name)
    if (method === undefined) {
      const stream = streams.get(rest[0] ?? '')?.stream
      if (command.name === 'cancel') stream?.cancel()
      else if (command.name === 'halfclose') stream?.halfClose()
      else return (await extra(command)) ?? `what is ${command.name}?`
      return ''
    }
    const isStream = streamMethods.includes(command.name)
    const name = isStream ? (rest.shift() ?? '') : ''
    const text = rest.join(' ')
    const raw = /^raw (\S+)$/.exec(text)?.[1]
    const isBare = bareRequest.test(method.request)
    const request = raw
      ? Buffer.from(raw, 'hex')
      : isBare
        ? new Uint8Array()
        : encodeText(method.request, text)
    if (!isStream) return printAnswer(method, await target.call(method.path, request, metadata))
    let one = streams.get(name)
    if (one === undefined) {
      one = { stream: target.open(method.path, metadata), response: method.response, isOver: false }
      streams.set(name, one)
    }
    one.stream.write(request)
    return ''
  }
  return async (command) => {
    const answer = await act(command)
    return [...(answer === '' ? [] : [answer]), ...(await readStreams())].join('\n')
  }
}

function printAnswer(method: Method, answer: StoryAnswer): string {
  if (answer.error !== undefined) return printError(answer.error)
  const type = headerOnly.test(method.response) ? 'HeaderResponse' : method.response
  return decodeToText(type, answer.message ?? new Uint8Array())
}

function printError(error: Pick<GrpcError, 'status' | 'message'>): string {
  const name = Object.entries(grpcStatus).find(([, number]) => number === error.status)?.[0]
  return `${name}: ${error.message}`
}
