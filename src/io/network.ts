/**
 * Byte streams between nodes, as TCP gives them: in order inside one connection, nothing promised across two.
 * Handlers run as turns of their own, never inside the call that caused them, and must not throw.
 */
export interface Network {
  /** Listens at `address`. Errors: `address-in-use`, `address-invalid`. Port 0 takes a free one. */
  listen(address: Address, onConnection: (connection: Connection) => void): Promise<Listener>
  /** Resolves once connected. Errors: `connect-failed` (refused, unreachable, or not within `timeoutMs`). */
  connect(address: Address, timeoutMs: number): Promise<Connection>
}

export type Address = { host: string; port: number }

export interface Listener {
  /** Where it really listens (the port when 0 was asked for). */
  readonly address: Address
  /** Stops accepting. Connections that exist stay. */
  close(): Promise<void>
}

export interface Connection {
  /** The other end, for logs. */
  readonly remote: string
  /** Set once, right after the connection was handed over. Data waits until then. */
  setHandlers(handlers: ConnectionHandlers): void
  /** Queues bytes. False: the buffer is over its limit; stop until `onDrain`. The bytes must not change later. */
  write(bytes: Uint8Array): boolean
  /** Bytes queued and not yet taken by the network. */
  readonly bufferedBytes: number
  /** Stops and restarts `onData`, for back-pressure towards the sender. */
  pauseReading(): void
  resumeReading(): void
  /** Sends what is queued, then closes. */
  end(): void
  /** Closes at once; queued bytes are lost. */
  destroy(): void
}

export interface ConnectionHandlers {
  /** The bytes are the receiver's to keep. */
  onData(bytes: Uint8Array): void
  onDrain(): void
  /** Called exactly once, last. `reason` says why, for logs. */
  onClose(reason: string): void
}
