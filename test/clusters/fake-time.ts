// Clocks of a process that follow a file.
import { isThere } from '../support/missing.ts'

const library = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'

/** The environment under which a program's clocks follow a file; etcd, a Go program, asks the kernel past it. */
export function fakeTimeEnvironment(file: string, clocks: 'wall' | 'all'): string[] {
  // The file is read again every second at most: a program asks for the time too often for more.
  const wallOnly = clocks === 'wall' ? ['DONT_FAKE_MONOTONIC=1', 'FAKETIME_CACHE_DURATION=1'] : []
  return [`LD_PRELOAD=${library}`, `FAKETIME_TIMESTAMP_FILE=${file}`, ...wallOnly]
}

/** Empty where it can be done. */
export function missingForFakeTime(): string[] {
  return isThere(library) ? [] : [`${library} (package libfaketime)`]
}
