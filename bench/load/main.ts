// One load on one server. `--help` says how.
import { Arguments } from '../../test/support/arguments.ts'
import { operationNames } from './requests.ts'
import { LoadRun } from './run.ts'

const usage = `npm run load -- --endpoint 127.0.0.1:2379 [options]
  --operation put      or ${operationNames.filter((name) => name !== 'put').join(', ')}
  --connections 100    sockets
  --streams 10         requests under way on each: every answer is followed by the next request
  --keys 1000000       drawn at random from this many, /bench/000000000 and so on
  --value-bytes 256
  --warm-up-ms 1000    not counted
  --ms 5000            counted
  --seed 1             of the keys
Prints one line of JSON: requests answered per second, latencies in ms, answers by gRPC status, and the share of one
processor that the load itself took (generatorBusy): near 1, it is the load that was measured.
Exit code 1: not every answer was status 0.`

const options = new Arguments(usage)
const [host = '', port = ''] = options.text('endpoint').split(/:(?=\d+$)/)
const named = options.text('operation', 'put')
const operation =
  operationNames.find((name) => name === named) ?? options.fail(`no operation is called ${named}`)
const plan = {
  host,
  port: Number(port),
  operation,
  connections: options.number('connections', 100),
  streams: options.number('streams', 10),
  keyCount: options.number('keys', 1_000_000),
  valueBytes: options.number('value-bytes', 256),
  warmUpMs: options.number('warm-up-ms', 1_000),
  countedMs: options.number('ms', 5_000),
  seed: options.number('seed', 1),
}
options.refuseUnknown()
if (!Number.isInteger(plan.port) || plan.port === 0) options.fail('--endpoint is HOST:PORT')
const report = await new LoadRun(plan).run()
console.log(JSON.stringify(report))
if (Object.keys(report.statuses).some((status) => status !== '0')) process.exitCode = 1
