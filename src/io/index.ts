/**
 * io: the world as interfaces: disk, network, time, entropy, log lines. Whatever may wait or fail from outside comes
 * through here, so the same code runs in production (io-node) and under the seed of the simulator.
 * Purely interfaces, and the few helpers that are written against them.
 */

export type { Disk, DiskFile, OpenOptions } from './disk.ts'
export { type Entropy, randomU32, randomU64 } from './entropy.ts'
export { type LogFields, type Logger, type LogLevel, silentLogger } from './logger.ts'
export { type Maybe, type MaybePlace, maybePlaces, never } from './maybe.ts'
export type { Address, Connection, ConnectionHandlers, Listener, Network } from './network.ts'
export { sleep, type Time, type Timer } from './time.ts'
