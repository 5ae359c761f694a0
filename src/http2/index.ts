/**
 * http2: the server's end of an HTTP/2 connection. Pure: bytes in, requests out; answers in, bytes out. Knows neither
 * sockets nor gRPC.
 *
 * Words. A *frame* is what travels; a *stream* is one request and its answer; a *window* is what one side may still send,
 * in a stream and in the whole connection; a *grant* (WINDOW_UPDATE) makes it larger. A stream is *reset* when one side
 * gives it up; the connection *goes away* (GOAWAY) when it ends, in good order or because the peer broke the protocol.
 *
 * Invariants
 * 1. Header blocks are decoded, and leave, in the order of the connection: the tables of both ends stay equal.
 * 2. No window is overdrawn, by either side; what comes for a stream that is gone still counts for the connection.
 * 3. What a client can make this side keep is bounded before it is kept: blocks, streams, frames that wait for an answer.
 *    Answers that the network does not take wait in their streams; whoever does not read cannot make them grow.
 * 4. What breaks one stream resets it; what breaks the state that both ends share ends the connection, with a text.
 * 5. Streams with much to send take turns, a frame each; what is small and comes first leaves first.
 * 6. After its end a stream changes nothing; its owner hears of the end exactly once.
 *
 * Source: RFC 9113, section numbers in the code; CVE-2023-44487 (resets), CVE-2024-27983 (continuation).
 *
 * Left out: pushing (clients of gRPC refuse it), priorities (deprecated by RFC 9113 section 5.3), the client's end.
 */
export { type ConnectionListener, ServerConnection } from './connection.ts'
export { clientPreface, type Http2ErrorCode, http2Error } from './frame.ts'
export type { Http2Limits } from './limits.ts'
export { fieldProblem } from './request-headers.ts'
export type { ServerStream, StreamListener } from './stream.ts'
