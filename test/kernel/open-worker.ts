// Opens data directories one after the other in one process, as the program opens its own, and serves them until told to
// close: a start without the start of a process. A process of its own: some states of a disk end the process.
import { server as product } from './product.ts'

const { configFromFlags, parseFlags, realWorld, startServer } = product

/** `arguments`: the flags of the program. `close`: whatever is open. Each is answered once. */
export type Order =
  | { readonly how: 'open'; readonly arguments: readonly string[] }
  | { readonly how: 'close' }
export type Reply = { readonly how: 'open' | 'closed' } | { readonly how: 'failed'; readonly text: string }

let server: Awaited<ReturnType<typeof startServer>> | undefined
let failure: unknown

process.on('message', (order: Order) => {
  obey(order).then(
    (reply) => process.send?.(reply),
    (error: unknown) => process.send?.(failed(error)),
  )
})
process.on('disconnect', () => process.exit(0))

async function obey(order: Order): Promise<Reply> {
  if (order.how === 'open') {
    failure = undefined
    const config = configFromFlags(parseFlags(order.arguments, {}))
    const events = {
      failed: (error: unknown): void => {
        failure = error
      },
    }
    server = await startServer(config, events, realWorld(config))
    return { how: 'open' }
  }
  const closing = server
  server = undefined
  await closing?.stop()
  return failure === undefined ? { how: 'closed' } : failed(failure)
}

function failed(error: unknown): Reply {
  return { how: 'failed', text: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}
