import { QuorateError } from '../base/index.ts'
import type { Address, Network, Time } from '../io/index.ts'
import { decodeYouAre, encodeWhoAmI, type YouAre } from './handshake.ts'
import { FrameReader, frameClass, framesOf } from './peer-frame.ts'

const answerBytesMax = 4 * 1024 * 1024

/**
 * Asks the members of a running cluster who the member with these peer URLs is: its id, the cluster, the members.
 * Every address is tried in turn until one answers; `no-leader` when none does before the deadline.
 * Error `handshake-refused`: a member answered that nobody was added with these URLs.
 */
export async function askWhoIAm(options: {
  network: Network
  time: Time
  addresses: readonly Address[]
  peerUrls: readonly string[]
  timeoutMs: number
}): Promise<YouAre> {
  const { time, addresses, timeoutMs } = options
  const deadlineMs = time.monotonicMs() + timeoutMs
  let lastText = 'no address was given'
  while (time.monotonicMs() < deadlineMs) {
    for (const address of addresses) {
      try {
        return await askOne(options, address)
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error
        if (error.code === 'handshake-refused') throw error
        lastText = `${address.host}:${address.port}: ${error.message}`
      }
    }
    await new Promise<void>((resolve) => {
      time.startTimer(200, resolve)
    })
  }
  throw new QuorateError(
    'no-leader',
    `no member of the cluster could be asked who this node is (${lastText})`,
  )
}

async function askOne(
  { network, time, peerUrls }: { network: Network; time: Time; peerUrls: readonly string[] },
  address: Address,
): Promise<YouAre> {
  const connection = await network.connect(address, 1_000)
  try {
    const payload = await new Promise<Uint8Array>((resolve, reject) => {
      const reader = new FrameReader(answerBytesMax)
      const timer = time.startTimer(2_000, () => reject(new QuorateError('timeout', 'no answer in time')))
      connection.setHandlers({
        onData: (bytes) => {
          try {
            const [message] = reader.push(bytes)
            if (message === undefined) return
            timer.cancel()
            resolve(message.payload)
          } catch (error) {
            reject(error)
          }
        },
        onDrain: () => undefined,
        onClose: (reason) => {
          timer.cancel()
          reject(new QuorateError('connection-lost', reason))
        },
      })
      const question = encodeWhoAmI({ peerUrls })
      for (const frame of framesOf({ frameClass: frameClass.bulk, group: 0, payload: question }))
        connection.write(frame)
    })
    return decodeYouAre(payload)
  } finally {
    connection.destroy()
  }
}
