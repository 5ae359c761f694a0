import { CallConnection } from './calls.ts'
import { forEachIndex, type LoadControl, withDeadline } from './control.ts'
import type { Target } from './meter.ts'
import { loadKey } from './requests.ts'
import { WatchConnection } from './watch-connection.ts'

export interface IdleWatchesPlan extends Target {
  readonly connections: number
  /** Each of a key of its own. */
  readonly watchesPerConnection: number
}

const connectsUnderWay = 50
const putsUnderWay = 50
const endDeadlineMs = 60_000

/** Connections with watches and nothing else, until it is stopped. Then every key is put, and every watch tells of its own. */
export async function runIdleWatches(
  plan: IdleWatchesPlan,
  control: LoadControl,
): Promise<{ events: number }> {
  const { host, port, connections, watchesPerConnection } = plan
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => undefined)
  const orFail = <T>(promise: Promise<T>): Promise<T> => Promise.race([promise, failure.promise])
  const allSeen = Promise.withResolvers<void>()
  const seen = new Set<number>()
  const watchers = Array.from({ length: connections }, (_, connection) => {
    const first = connection * watchesPerConnection
    return new WatchConnection({
      ...{ host, port, failed: failure.reject },
      event: ({ watch, keyIndex, isDelete }) => {
        if (isDelete || keyIndex !== first + watch) throw new Error('a watch told of the key of another')
        if (seen.has(keyIndex)) throw new Error('a watch told of its key twice')
        seen.add(keyIndex)
        if (seen.size === connections * watchesPerConnection) allSeen.resolve()
      },
    })
  })
  const writer = new CallConnection(host, port, failure.reject)
  try {
    const open = async (connection: number): Promise<void> => {
      const first = connection * watchesPerConnection
      const ranges = Array.from({ length: watchesPerConnection }, (_, i) => ({ key: loadKey(first + i) }))
      await watchers[connection]?.watch(ranges)
    }
    await orFail(forEachIndex(connections, connectsUnderWay, open))
    control.begun()
    await orFail(control.stop)
    await orFail(writer.ready())
    const put = (index: number): Promise<unknown> => writer.unary('put', { key: loadKey(index) })
    await orFail(forEachIndex(connections * watchesPerConnection, putsUnderWay, put))
    const missing = (): string => `${connections * watchesPerConnection - seen.size} watches told nothing`
    await withDeadline(orFail(allSeen.promise), endDeadlineMs, missing)
    return { events: seen.size }
  } finally {
    writer.destroy()
    for (const watcher of watchers) watcher.destroy()
  }
}
