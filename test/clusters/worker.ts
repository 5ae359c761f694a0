// One laboratory in a process of its own: it is told one history at a time and answers with the result.
import { type EpisodeSetup, runEpisode } from './episode.ts'
import { Laboratory } from './laboratory.ts'

const laboratory = new Laboratory(3)
process.on('message', (setup: EpisodeSetup) => {
  runEpisode(setup, laboratory).then(
    (result) => process.send?.(result),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})
process.on('disconnect', () => process.exit())
