// A TCP proxy whose connections can be cut: what a client does when the network goes away, without touching a server.
import { connect, createServer, type Server, type Socket } from 'node:net'

export class CuttableProxy {
  readonly #target: { host: string; port: number }
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  /** Connections accepted so far. */
  accepted = 0

  constructor(endpoint: string) {
    const [host = '', port = ''] = endpoint.split(':')
    this.#target = { host, port: Number(port) }
    this.#server = createServer((socket) => this.#join(socket))
  }

  /** Resolves with host:port. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const address = this.#server.address()
    if (typeof address !== 'object' || address === null) throw new Error('the proxy has no port')
    return `127.0.0.1:${address.port}`
  }

  /** Cuts every connection; new ones are let through. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  close(): void {
    this.#server.close()
    this.cutAll()
  }

  #join(client: Socket): void {
    this.accepted++
    const server = connect(this.#target)
    const pair = [client, server] as const
    for (const socket of pair) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        for (const other of pair) other.destroy()
      })
    }
    client.pipe(server).pipe(client)
  }
}
