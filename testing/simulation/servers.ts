import { type StartServer, startQuorate } from '../../src/simulator/index.ts'
import { type FakeDefect, fakeDefects, startFakeServer } from '../fake-server.ts'

/** What can be simulated: the product, and the fake server with one of its defects. */
export const serverNames: readonly string[] = [
  'quorate',
  'fake',
  ...fakeDefects.filter((defect) => defect !== 'none').map((defect) => `fake:${defect}`),
]

export function serverOf(name: string): StartServer {
  if (name === 'quorate') return startQuorate
  const defect = name === 'fake' ? 'none' : name.replace('fake:', '')
  return startFakeServer(defect as FakeDefect, () => Math.floor(performance.now()) % 7)
}
