// Processes as the kernel's tables show them. A server may be started through a launcher, so the process that was
// spawned is not always the one that serves.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** The process of this machine that listens at host:port; undefined when there is none. */
export function pidListeningAt(endpoint: string): number | undefined {
  const port = Number(endpoint.split(':').at(-1))
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  const sockets = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(table, 'utf8').split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
      if (state === '0A' && local.endsWith(`:${wanted}`)) sockets.add(`socket:[${inode}]`)
    }
  }
  if (sockets.size === 0) return undefined
  for (const pid of processIds()) if (holdsOneOf(pid, sockets)) return pid
  return undefined
}

/** Processor time in milliseconds that a process has taken, with all its threads, to 10 ms: user and system. */
export function processorMs(pid: number): number {
  return processorMsAt(String(pid))
}

/** The same by the names of its threads: those of one name together, its first as "main", none that has ended. */
export function processorMsByThread(pid: number): Map<string, number> {
  const times = new Map<string, number>()
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const place = `${pid}/task/${thread}`
    try {
      const name = Number(thread) === pid ? 'main' : readFileSync(`/proc/${place}/comm`, 'utf8').trim()
      times.set(name, (times.get(name) ?? 0) + processorMsAt(place))
    } catch {
      // It ended while it was looked at.
    }
  }
  return times
}

/** Milliseconds in which the first thread of a process, the loop of one of Node, was ready and had no processor. */
export function processorWaitMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6
}

/** Bytes that a process has read so far, from sockets and files. */
export function bytesRead(pid: number): number {
  return Number(/^rchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? Number.NaN)
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024
}

/** The process itself and all it started, the youngest last. */
export function processTree(root: number): number[] {
  const parents = new Map<number, number>()
  for (const pid of processIds()) {
    const parent = parentOf(pid)
    if (parent !== undefined) parents.set(pid, parent)
  }
  const tree = [root]
  for (let i = 0; i < tree.length; i++) {
    for (const [pid, parent] of parents) if (parent === tree[i]) tree.push(pid)
  }
  return tree
}

/** SIGKILL to the process and all it started; those that are gone already are passed over. */
export function killTree(root: number): void {
  for (const pid of processTree(root)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended between the look and the signal.
    }
  }
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

function processorMsAt(place: string): number {
  const [, , , , , , , , , , , user, system] = statOf(place)
  return (Number(user) + Number(system)) * 10
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(statOf(String(pid))[1])
  } catch {
    return undefined
  }
}

/** The fields after the name, which stands in brackets and may hold anything, brackets too. `place`: below /proc. */
function statOf(place: string): string[] {
  const stat = readFileSync(`/proc/${place}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

function holdsOneOf(pid: number, sockets: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((descriptor) =>
      sockets.has(linkOf(`/proc/${pid}/fd/${descriptor}`)),
    )
  } catch {
    // The process ended while it was looked at, or is not ours.
    return false
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    // It was closed while the others were looked at.
    return ''
  }
}
