import { concatBytes, crc32c, type ErrorCode, isQuorateError, utf8Encode } from '../../src/base/index.ts'
import { decodeEnvelope, encodeEnvelope } from '../../src/node/envelope.ts'
import {
  decodeHello,
  decodeHelloAnswer,
  decodeWhoAmI,
  decodeYouAre,
  encodeHello,
  encodeHelloAnswer,
  encodeWhoAmI,
  encodeYouAre,
} from '../../src/node/handshake.ts'
import {
  type Directory,
  decodeDirectory,
  encodeDirectory,
  type MemberRecord,
} from '../../src/node/members.ts'
import {
  decodeChangeAnswer,
  decodeMembershipRequest,
  encodeChangeAnswer,
  encodeMembershipRequest,
} from '../../src/node/membership.ts'
import { decodePeerMessage, encodePeerMessage, type PeerMessage } from '../../src/node/peer-codec.ts'
import { FrameReader, frameClass, frameHeaderSize, framesOf } from '../../src/node/peer-frame.ts'
import { end, peerMessages, route } from '../../src/node/testing/peer-messages.ts'
import { decodeConfiguration, encodeConfiguration } from '../../src/raft/configuration.ts'
import { createEntry, entryKind } from '../../src/raft/index.ts'
import type { FuzzTarget } from './target.ts'

const configuration = { voters: [1n, 2n], outgoing: [3n], learners: [4n], context: utf8Encode('names') }
const entry = createEntry({
  group: 0,
  index: end.index + 1,
  term: end.term,
  kind: entryKind.command,
  payload: utf8Encode('a command'),
  previousChain: end.chain,
})
const withEntry: PeerMessage = {
  kind: 'appendRequest',
  ...route,
  term: 4,
  previous: end,
  commit: 11,
  entries: [entry],
}

function member(id: bigint): MemberRecord {
  return {
    id,
    name: `n${id}`,
    peerUrls: [`http://n${id}:2380`],
    clientUrls: [],
    isLearner: id === 3n,
    promoteWhenReady: false,
    directoryId: id * 77n,
    commandVersion: 1,
  }
}
const directory: Directory = {
  members: [member(1n), member(2n), member(3n)],
  leaving: [member(4n)],
  removed: [5n, 6n],
  clusterVersion: 1,
}

/** A message of each kind, encoded. */
export const peerMessageSeeds: readonly Uint8Array[] = [...peerMessages, withEntry].map((message) =>
  encodePeerMessage(message).slice(),
)

const malformed: readonly ErrorCode[] = ['frame-malformed', 'format-unsupported']
const urls = ['http://10.0.0.1:2380', 'http://[::1]:2380']

/** Everything that one member reads of another. */
export function peerTargets(): FuzzTarget[] {
  return [
    frames,
    {
      name: 'peer.message',
      seeds: peerMessageSeeds,
      read: (input) => decodePeerMessage(input, route),
      write: (message: PeerMessage) => encodePeerMessage(message).slice(),
      refusals: malformed,
    },
    {
      name: 'peer.hello',
      seeds: [encodeHello({ clusterId: 1n, from: 2n, to: 3n, directoryId: 4n, peerUrls: urls })],
      read: decodeHello,
      write: encodeHello,
      refusals: ['frame-malformed', 'handshake-refused'],
    },
    {
      name: 'peer.hello-answer',
      seeds: [
        encodeHelloAnswer({ kind: 'welcome', directoryId: 4n }),
        encodeHelloAnswer({ kind: 'refused', reason: 'wiped', text: 'another directory' }),
      ],
      read: decodeHelloAnswer,
      write: encodeHelloAnswer,
      refusals: ['frame-malformed'],
    },
    {
      name: 'peer.who-am-i',
      seeds: [encodeWhoAmI({ peerUrls: urls })],
      read: decodeWhoAmI,
      write: encodeWhoAmI,
      refusals: ['frame-malformed'],
    },
    {
      name: 'peer.you-are',
      seeds: [
        encodeYouAre({ clusterId: 1n, nodeId: 2n, directory: encodeDirectory(directory) }),
        encodeHelloAnswer({ kind: 'refused', reason: 'identity', text: 'nobody was added' }),
      ],
      read: decodeYouAre,
      write: encodeYouAre,
      refusals: ['frame-malformed', 'handshake-refused'],
    },
    {
      name: 'peer.member-list',
      seeds: [encodeDirectory(directory), encodeDirectory({ ...directory, members: [], leaving: [] })],
      read: decodeDirectory,
      write: encodeDirectory,
      refusals: malformed,
    },
    {
      name: 'peer.membership-request',
      seeds: [
        encodeMembershipRequest({ kind: 'add', isLearner: true, salt: 'x', peerUrls: urls }),
        encodeMembershipRequest({ kind: 'remove', id: 1n }),
        encodeMembershipRequest({ kind: 'update', id: 1n, peerUrls: urls }),
        encodeMembershipRequest({
          kind: 'publish',
          id: 1n,
          directoryId: 2n,
          commandVersion: 1,
          name: 'n1',
          clientUrls: urls,
        }),
      ],
      read: decodeMembershipRequest,
      write: encodeMembershipRequest,
      refusals: ['frame-malformed'],
    },
    {
      name: 'peer.change-answer',
      seeds: [encodeChangeAnswer(0), encodeChangeAnswer(2 ** 40)],
      read: decodeChangeAnswer,
      write: encodeChangeAnswer,
      refusals: ['frame-malformed'],
    },
    {
      name: 'log.envelope',
      seeds: [
        encodeEnvelope({
          timeMs: 1,
          incarnation: { high: 2, low: 3 },
          sequence: 4,
          command: utf8Encode('x'),
        }),
      ],
      read: decodeEnvelope,
      write: encodeEnvelope,
      refusals: malformed,
    },
    {
      name: 'log.configuration',
      seeds: [encodeConfiguration(configuration), encodeConfiguration({ ...configuration, outgoing: [] })],
      read: decodeConfiguration,
      write: encodeConfiguration,
      refusals: malformed,
    },
  ]
}

const large = new Uint8Array(70_000).fill(5)
/** The first byte of an input says how the stream is cut; the messages must not depend on it. */
const frames: FuzzTarget = {
  name: 'peer.frames',
  seeds: peerMessages
    .slice(0, 4)
    .map((message, i) =>
      concatBytes([
        Uint8Array.of(40 * i),
        ...framesOf({ frameClass: frameClass.control, group: 0, payload: encodePeerMessage(message) }),
        ...framesOf({ frameClass: frameClass.bulk, group: 1, payload: large.subarray(0, 300 * i) }),
      ]),
    ),
  refusals: [],
  read: (input) => {
    const stream = input.subarray(1)
    const whole = readStream(stream, stream.length)
    const cut = readStream(stream, 1 + 7 * (input[0] ?? 0))
    return { whole, cut }
  },
  judge: ({ whole, cut }: { whole: string; cut: string }) => {
    if (whole.startsWith('threw')) return whole
    return whole === cut ? undefined : `reads another stream when it is cut elsewhere: ${whole} or ${cut}`
  },
  seal: sealFrames,
}

function readStream(stream: Uint8Array, step: number): string {
  const reader = new FrameReader(2000)
  const found: string[] = []
  try {
    for (let position = 0; position < stream.length; position += step) {
      for (const { frameClass: kind, group, payload } of reader.push(
        stream.subarray(position, position + step),
      )) {
        found.push(`${kind} ${group} ${payload.length} ${crc32c(payload)}`)
      }
    }
  } catch (error) {
    // What came before the bad frame in the same piece is not told: only the refusal counts.
    if (isQuorateError(error, 'frame-malformed', 'frame-too-large', 'format-unsupported')) return error.code
    return `threw ${String(error)}`
  }
  return found.join()
}

/** Right checksums on each header that stands where one should. */
function sealFrames(input: Uint8Array): Uint8Array {
  const sealed = input.slice()
  const view = new DataView(sealed.buffer)
  for (let position = 1; position + frameHeaderSize <= sealed.length; ) {
    const size = Math.min(view.getUint32(position + 8, true), sealed.length - position - frameHeaderSize)
    const payload = sealed.subarray(position + frameHeaderSize, position + frameHeaderSize + size)
    view.setUint32(position + 12, crc32c(payload), true)
    view.setUint32(position + 16, crc32c(sealed, 0, position, position + 16), true)
    position += frameHeaderSize + size
  }
  return sealed
}
