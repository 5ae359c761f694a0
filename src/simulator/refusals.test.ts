// What a client makes of a refusal: a word, and whether the call can have happened.
import assert from 'node:assert/strict'
import test from 'node:test'
import { GrpcError, type GrpcStatus, grpcStatus } from '../grpc/index.ts'
import { refusalOf, unlistedCode } from './refusals.ts'

function refused(status: GrpcStatus, text: string, outcome?: string): GrpcError {
  return new GrpcError(status, text, new Map(outcome === undefined ? [] : [['quorate-outcome', outcome]]))
}

test('a write happened as its refusal says', () => {
  const none = refusalOf(refused(grpcStatus.unavailable, 'etcdserver: no leader', 'none'), 'write')
  assert.deepEqual([none.code, none.outcome], ['no-leader', 'none'])
  const unknown = refusalOf(refused(grpcStatus.unavailable, 'etcdserver: leader changed', 'unknown'), 'write')
  assert.deepEqual([unknown.code, unknown.outcome], ['leader-changed', 'unknown'])
})

test('a read never happened, whatever is said', () => {
  const { outcome } = refusalOf(refused(grpcStatus.unavailable, 'etcdserver: request timed out'), 'read')
  assert.equal(outcome, 'none')
})

test('another status, another text, or a write without a word about its outcome is none that clients know', () => {
  const cases = [
    refused(grpcStatus.unknown, 'etcdserver: no leader', 'none'),
    refused(grpcStatus.unavailable, 'no leader', 'none'),
    refused(grpcStatus.unavailable, 'etcdserver: no leader'),
  ]
  for (const error of cases) {
    const { code, outcome } = refusalOf(error, 'write')
    assert.ok(code.startsWith(unlistedCode), code)
    if (!error.trailers.has('quorate-outcome')) assert.equal(outcome, 'unknown')
  }
})
