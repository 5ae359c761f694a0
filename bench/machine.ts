// What a result means nothing without: the machine, its disk, the commit, the versions.
import { execFileSync } from 'node:child_process'
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'

export type Machine = {
  processor: string
  cores: number
  memoryBytes: number
  kernel: string
  node: string
  h2load: string
  /** Median and 99th percentile of an appended 4 KiB block made durable, where the data directories are. */
  syncMicroseconds: { p50: number; p99: number }
}

export function describeMachine(): Machine {
  return {
    processor: /model name\s*:\s*(.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    h2load: run('h2load', ['--version']),
    syncMicroseconds: measureSync(),
  }
}

export function describeCommit(): { commit: string; dirty: boolean } {
  return {
    commit: run('git', ['rev-parse', '--short=12', 'HEAD']),
    dirty: run('git', ['status', '--porcelain', '--untracked-files=no']) !== '',
  }
}

function measureSync(): Machine['syncMicroseconds'] {
  const directory = mkdtempSync(join(tmpdir(), 'bench-sync-'))
  const file = openSync(join(directory, 'file'), 'w')
  const block = Buffer.alloc(4_096, 1)
  const times: number[] = []
  for (let i = 0; i < 500; i++) {
    writeSync(file, block)
    const start = performance.now()
    fdatasyncSync(file)
    times.push((performance.now() - start) * 1_000)
  }
  closeSync(file)
  rmSync(directory, { recursive: true })
  times.sort((a, b) => a - b)
  return { p50: Math.round(times[250] ?? 0), p99: Math.round(times[495] ?? 0) }
}

function run(file: string, args: string[]): string {
  return execFileSync(file, args, { encoding: 'utf8' }).trim()
}
