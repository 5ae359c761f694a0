import { runTestdata } from '../../testing/testdata.ts'
import { Story } from './testing/story.ts'

runTestdata('src/raft/testdata', () => {
  const story = new Story()
  return ({ name, args }) => story.run(name, args)
})
