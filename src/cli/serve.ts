import { configFromFlags, parseFlags, type Server, startServer } from '../server/index.ts'
import { exitCode, exitCodeOf } from './exit-codes.ts'

const stopTimeoutMs = 8_000

/** Runs one node until SIGTERM or SIGINT, or until it fails for good. */
export async function runServe(args: readonly string[]): Promise<void> {
  const config = configFromFlags(parseFlags(args, process.env))
  let server: Server | undefined
  let isStopping = false
  const fail = (error: unknown): void => {
    process.stderr.write(`quorate: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(exitCodeOf(error))
  }
  const stop = (): void => {
    if (isStopping) return
    isStopping = true
    // While it still starts there is nobody to answer, and the disk survives an end at any moment.
    if (server === undefined) process.exit(exitCode.ok)
    setTimeout(() => process.exit(exitCode.failed), stopTimeoutMs).unref()
    server.stop().then(() => process.exit(exitCode.ok), fail)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  // Only under `quorate cluster`: without its supervisor a node ends too, and it tells the supervisor that it serves.
  process.on('disconnect', stop)
  server = await startServer(config, { failed: fail })
  // Whoever waits for this line gets it, whatever --log-level leaves out.
  const where = server.clientAddresses.map(({ host, port }) => `${host}:${port}`).join(', ')
  process.stdout.write(`quorate: ready to serve client requests on ${where}\n`)
  process.send?.('serving')
}
