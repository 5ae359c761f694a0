/** The executable: finds the command and runs it. One file a command. */
import { isQuorateError } from '../base/index.ts'
import { runCluster } from './cluster.ts'
import { exitCodeOf } from './exit-codes.ts'
import { helpText, versionText } from './help.ts'
import { runServe } from './serve.ts'

async function run(args: readonly string[]): Promise<void> {
  const [first = '', ...rest] = args
  if (['-h', '--help', 'help'].includes(first)) process.stdout.write(helpText())
  else if (['-v', '--version', 'version'].includes(first)) process.stdout.write(versionText())
  else if (first === 'cluster') await runCluster(rest)
  else if (first === 'serve') await runServe(rest)
  else await runServe(args)
}

run(process.argv.slice(2)).catch((error: unknown) => {
  const text = isQuorateError(error) ? error.message : error instanceof Error ? error.stack : String(error)
  process.stderr.write(`quorate: ${text}\n`)
  process.exit(exitCodeOf(error))
})
