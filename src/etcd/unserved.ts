import { encodeAuthStatusResponse, encodeHeaderResponse } from '../etcd-codec/index.ts'
import { GrpcError, type GrpcMethod, grpcStatus } from '../grpc/index.ts'
import { headerAt } from './context.ts'
import type { EtcdDependencies } from './dependencies.ts'
import { readRules, unary } from './methods.ts'

const unservedMethods: readonly (readonly [service: string, methods: string])[] = [
  ['etcdserverpb.KV', 'RangeStream'],
  [
    'etcdserverpb.Auth',
    'AuthEnable UserAdd UserGet UserList UserDelete UserChangePassword UserGrantRole UserRevokeRole ' +
      'RoleAdd RoleGet RoleList RoleDelete RoleGrantPermission RoleRevokePermission',
  ],
  ['v3lockpb.Lock', 'Lock Unlock'],
  ['v3electionpb.Election', 'Campaign Proclaim Leader Observe Resign'],
]

/**
 * Methods of etcd that this door knows and does not serve: refused by name, so that a client sees at once that the
 * method, not the path, is the matter. Of Auth the questions are answered that have an answer while it is off.
 */
export function unservedServices(from: EtcdDependencies): [string, GrpcMethod][] {
  const methods: [string, GrpcMethod][] = []
  for (const [service, names] of unservedMethods) {
    for (const name of names.split(' ')) methods.push([`/${service}/${name}`, unserved(`${service}/${name}`)])
  }
  return [
    ...methods,
    [
      '/etcdserverpb.Auth/AuthStatus',
      unary(from, readRules, () => {
        const header = headerAt(from, from.core.revision)
        return encodeAuthStatusResponse({ header, enabled: false, authRevision: 1 })
      }),
    ],
    [
      '/etcdserverpb.Auth/AuthDisable',
      unary(from, readRules, () => encodeHeaderResponse({ header: headerAt(from, from.core.revision) })),
    ],
    [
      '/etcdserverpb.Auth/Authenticate',
      unary(from, readRules, () => {
        throw new GrpcError(grpcStatus.failedPrecondition, 'etcdserver: authentication is not enabled')
      }),
    ],
  ]
}

/** As a unary method: its refusal is the same bytes on the wire for a stream. */
function unserved(name: string): GrpcMethod {
  return {
    kind: 'unary',
    handle() {
      throw new GrpcError(grpcStatus.unimplemented, `quorate: ${name} is not implemented`)
    },
  }
}
