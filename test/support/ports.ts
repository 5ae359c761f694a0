// Ports for the servers of tests and measurements: from one place, so that no two that run on this machine get the same.
import { createSocket, type Socket } from 'node:dgram'
import { createServer } from 'node:net'

/** Below the ports that the kernel hands out to outgoing connections, so that none of those can take one away. */
const portRange = { first: 23_000, count: 9_000 }
const attemptsMax = 1_000

/** A reference to each: the kernel gives back the port of a socket that nobody holds. */
const reservations: Socket[] = []

/**
 * Ports of 127.0.0.1 at which nothing listens. They stay with this process until it ends, also while the server that it
 * has there is down: each is reserved by the UDP socket of the same number, which the kernel gives to one process alone
 * and takes from one that has died. Throws when there are none.
 */
export async function freePorts(count: number, range: typeof portRange = portRange): Promise<number[]> {
  const ports: number[] = []
  for (let attempt = 0; ports.length < count; attempt++) {
    if (attempt === attemptsMax) throw new Error(`no ${count} ports are free from ${range.first} on`)
    const port = range.first + Math.floor(Math.random() * range.count)
    if ((await reserve(port)) && (await isFree(port))) ports.push(port)
  }
  return ports
}

function reserve(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.on('error', () => resolve(false))
    socket.bind(port, '127.0.0.1', () => {
      socket.unref()
      reservations.push(socket)
      resolve(true)
    })
  })
}

/** Asked only of a port that is reserved: to listen at one where another test is about to start a server would fail that. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
