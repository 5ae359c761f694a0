// One laboratory in a process of its own: it is told one task at a time and answers with the result.

import { Laboratory } from '../support/laboratory.ts'
import { runEpisode } from './episode.ts'
import { runScenario } from './scenarios.ts'
import type { Task } from './workers.ts'

const laboratory = new Laboratory(3)
process.on('message', (task: Task) => {
  const result =
    task.kind === 'history' ? runEpisode(task.setup, laboratory) : runScenario(task.setup, laboratory)
  result.then(
    (result) => process.send?.(result),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})
process.on('disconnect', () => process.exit())
