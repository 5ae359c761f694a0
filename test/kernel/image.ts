// A real ext4 in a file, mounted so that nothing reaches the file but what was synced: metadata is committed every five
// minutes, and a rename does not write the data of what it renames.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Lab } from './lab.ts'

const mountOptions = 'commit=300,noauto_da_alloc'
const umountTries = 50

export class Image {
  readonly path: string
  readonly mountPoint: string
  #isMounted = false

  constructor(lab: Lab, path: string, mountPoint: string) {
    this.path = path
    this.mountPoint = mountPoint
    mkdirSync(mountPoint, { recursive: true })
    lab.onEnd(() => this.unmount())
  }

  /** An empty file system of so many bytes. */
  static make(lab: Lab, name: string, bytes: number): Image {
    const base = lab.makeDirectory(name)
    const path = join(base, 'image')
    writeFileSync(path, '')
    truncateSync(path, bytes)
    execFileSync('mkfs.ext4', ['-qF', '-m', '0', '-J', 'size=4', path], { stdio: 'pipe' })
    return new Image(lab, path, join(base, 'mounted'))
  }

  mount(): void {
    execFileSync('mount', ['-o', `loop,${mountOptions}`, this.path, this.mountPoint], { stdio: 'pipe' })
    this.#isMounted = true
  }

  /** A process that was just killed may still hold it for a moment. */
  unmount(): void {
    if (!this.#isMounted) return
    for (let tries = 0; tries < umountTries; tries++) {
      const { status } = spawnSync('umount', [this.mountPoint], { stdio: 'pipe' })
      if (status === 0) {
        this.#isMounted = false
        return
      }
      spawnSync('sleep', ['0.1'])
    }
    this.#isMounted = false
    execFileSync('umount', ['-l', this.mountPoint], { stdio: 'pipe' })
  }

  /** What a power cut at this moment would leave: the file as it is, without what only memory holds. */
  copyTo(path: string): void {
    execFileSync('cp', ['--sparse=always', this.path, path], { stdio: 'pipe' })
  }
}
