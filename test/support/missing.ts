// What a machine must have for tests that make networks, and where Debian has it.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const packages = {
  ip: 'iproute2',
  'iptables-legacy': 'iptables',
  strace: 'strace',
  etcd: 'etcd-server',
} as const

/** What this machine lacks of Linux, root and these tools; empty: nothing. */
export function missingTools(tools: readonly (keyof typeof packages)[]): string[] {
  if (process.platform !== 'linux') return ['Linux']
  const missing = process.getuid?.() === 0 ? [] : ['root']
  for (const tool of tools) if (!isOnPath(tool)) missing.push(`${tool} (package ${packages[tool]})`)
  return missing
}

function isOnPath(tool: string): boolean {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.some((folder) => isThere(join(folder, tool)))
}

export function isThere(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}
