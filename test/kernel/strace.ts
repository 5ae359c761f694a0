// Whether the interposer sees every call that changes a file: one life under it and under strace at once. What the
// kernel was asked to do is what the sweeps count, or they have blind places.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../processes/harness.ts'
import { beginPhase, type Slot } from './crash.ts'
import type { Prepared } from './lab.ts'
import { phases } from './life.ts'

const changing =
  'write,pwrite64,writev,pwritev,pwritev2,fdatasync,fsync,sync,syncfs,sync_file_range,msync,rename,renameat,renameat2,' +
  'link,linkat,symlink,unlink,unlinkat,rmdir,mkdir,mkdirat,truncate,ftruncate,fallocate,open,openat,openat2,creat,' +
  'copy_file_range,sendfile,splice,io_uring_enter'
const writtenDeadlineMs = 20_000

/** What the two counted differently, call by call. */
export async function compareWithStrace(
  slot: Slot,
  prepared: readonly Prepared[],
  output: string,
): Promise<string[]> {
  const problems: string[] = []
  for (const [i, phase] of phases.entries()) {
    const { life, interposer } = beginPhase(slot, prepared[i])
    const { node } = life
    const file = join(output, `strace-${phase.name}`)
    // -D: the node stays the child of this process, and what is sent to it reaches it.
    node.wrapper = ['strace', '-D', '-f', '--seccomp-bpf', '-y', '-o', file, '-e', `trace=${changing}`]
    await phase.run(life)
    node.wrapper = []
    node.environment = {}
    const counted = tally(interposer.calls().map((call) => call.split(' ')[0] ?? ''))
    interposer.close()
    try {
      // The tracer ends a little after what it traced.
      await eventually(
        'the same calls',
        () => {
          const traced = tally(callsBelow(readFileSync(file, 'utf8'), node.directory))
          if (traced === counted) return true
          throw new Error(`strace: ${traced}; counted: ${counted}`)
        },
        writtenDeadlineMs,
      )
    } catch (error) {
      problems.push(`${phase.name}: ${String(error)}`)
    }
  }
  return problems
}

function callsBelow(trace: string, directory: string): string[] {
  const calls: string[] = []
  for (const line of trace.split('\n')) {
    const name = /^\d+\s+(\w+)\(/.exec(line)?.[1]
    if (
      name === undefined ||
      !(line.includes(`${directory}/`) || line.includes(`${directory}"`) || line.includes(`${directory}>`))
    )
      continue
    if (name.startsWith('open') && !/O_CREAT|O_TRUNC/.test(line)) continue
    calls.push(name)
  }
  return calls
}

function tally(names: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
}
