import type { Socket } from 'node:net'

/** host:port of the client, while its socket is open. Asked for when it is needed: most connections never need it. */
export function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`
}
