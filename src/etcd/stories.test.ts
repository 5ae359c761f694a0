// The services as their clients see them: testdata/etcd_*.txt is what etcd does as well (compared with a real one by
// testing/compare-with-etcd.ts), testdata/door_*.txt is what needs a hand on the cluster, the clock or the network.

import { openTestCore } from '../../testing/etcd-core.ts'
import { type Door, openDoor, settle } from '../../testing/etcd-door.ts'
import { createStory } from '../../testing/etcd-story.ts'
import { encodeText } from '../../testing/etcd-text.ts'
import { type CaseCommand, runTestdata } from '../../testing/testdata.ts'
import { type ErrorCode, errorCodes } from '../base/index.ts'
import { grpcStatus } from '../grpc/index.ts'

runTestdata('src/etcd/testdata', () => {
  const door = openDoor(openTestCore())
  return createStory({ call: door.call, open: door.open, settle }, (command) => steer(door, command))
})

async function steer(door: Door, { name, args }: CaseCommand): Promise<string | undefined> {
  const [first = '', second = ''] = args
  switch (name) {
    case 'advance':
      await door.time.advance(Number(first))
      return ''
    case 'leader':
      door.group.leader = first === 'none' ? 0n : first === 'self' ? door.group.nodeId : 0xb2n
      return ''
    case 'learner':
      door.group.isLearner = first === 'true'
      return ''
    case 'fail':
      if (second === '') door.group.failures.clear()
      else door.group.failures.set(first, second as ErrorCode)
      return ''
    case 'calls':
      return door.group.calls.splice(0).join(' ')
    case 'alarm':
      door.alarms.push({ memberId: 0xa1n, kind: first === 'noSpace' ? 'noSpace' : 'corrupt' })
      return ''
    case 'errors':
      return (await Promise.all(errorCodes.map((code) => errorRow(door, code)))).join('\n')
    case 'tick': {
      const commands = door.core.leader.tick(door.time.monotonicMs())
      for (const command of commands) door.group.apply(command)
      return `${commands.length} commands`
    }
    case 'maintain': {
      let slices = 0
      while (door.core.maintain()) slices++
      return slices > 0 ? 'done' : 'nothing to do'
    }
    default:
      return undefined
  }
}

async function errorRow(door: Door, code: ErrorCode): Promise<string> {
  door.group.failures.set('propose', code)
  const answer = door.call('/etcdserverpb.KV/Put', encodeText('PutRequest', '{key: a}'))
  door.group.failures.clear()
  const { error } = await answer
  const status = Object.entries(grpcStatus).find(([, number]) => number === error?.status)?.[0]
  return `${code}: ${status} "${error?.message}" outcome ${error?.trailers.get('quorate-outcome')}`
}
