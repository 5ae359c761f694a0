// The models of the explorer that are small enough to be exhausted, and a broken rule that it must find.
import '../testing/explorer/open-fields.ts'
import assert from 'node:assert/strict'
import test from 'node:test'

const { Explorer } = await import('../testing/explorer/explorer.ts')
const { models } = await import('../testing/explorer/model.ts')
const { storyOf } = await import('../testing/explorer/story.ts')
const { Story } = await import('../src/raft/testing/story.ts')
const { replay } = await import('../testing/testdata.ts')

type Model = (typeof models)[number]

function named(name: string): Model {
  const model = models.find((one) => one.name === name)
  assert.ok(model, `there is a model ${name}`)
  return model
}

/** Fewer states than are known to be there: part of the model is not visited any more. */
const leastStates = { small: 50_000, 'small-crash': 6_000, 'small-disk': 40_000, 'small-snapshot': 3_500 }

for (const [name, least] of Object.entries(leastStates)) {
  test(`every state of the model ${name} keeps the rules`, () => {
    const explorer = new Explorer(named(name))
    while (explorer.advance(1_000));
    const { states, violations, isExhausted } = explorer.progress
    assert.deepEqual(violations, [])
    assert.ok(isExhausted, 'all was visited')
    assert.ok(states >= least, `${states} states`)
  })
}

test('a disk that forgets a vote is found, and the path to it is a case of the raft room', async () => {
  const explorer = new Explorer(named('small-crash'), ({ disk }) => {
    disk.hardState = { ...disk.hardState, vote: 0n }
  })
  while (explorer.advance(1_000));
  const [violation] = explorer.progress.violations
  assert.match(violation?.rule ?? '', /votes once in term 1, also across a crash/)
  assert.ok(violation)
  const text = storyOf(named('small-crash'), violation)
  const story = new Story()
  const told = await replay(text, ({ name, args }) => story.run(name, args))
  assert.match(told, /candidate at term 1/)
  assert.match(told, /^crash \d/m)
})
