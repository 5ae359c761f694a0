/**
 * server: everything put together: configuration from flags, the node and its state machine, the client port, metrics and
 * health. The same code runs under the executable and inside a Node program.
 */
export { type CompactionPolicy, configFromFlags, type ServerConfig } from './config.ts'
export { type FlagName, type FlagValues, flagHelp, parseFlags } from './flags.ts'
export { realWorld, type Server, type ServerEvents, type ServerWorld, startServer } from './server.ts'
export type { ServerStatus } from './status.ts'
export { etcdVersion, quorateVersion } from './version.ts'
