/** HTTP/2 on one connection, whoever speaks it. */
export interface Session {
  /** The client has said what HTTP/2 begins with. */
  readonly isEstablished: boolean
  readonly openCallCount: number
  /** The client has made no call so far, or broke a rule: nobody would miss the connection. */
  readonly isUnused: boolean
  /** Asks the client for a sign of life. */
  ping(): void
  /** GOAWAY, and the end once the calls under way are done. */
  close(): void
  destroy(): void
}
