// One thread of `npm run fuzz`: takes its share of the targets, one slice of time after the other.
import { parentPort, workerData } from 'node:worker_threads'
import { readCorpus } from './corpus.ts'
import { Fuzzer } from './fuzzer.ts'
import { currentInput, type Report, type Share } from './report.ts'
import { allTargets } from './targets.ts'

const share = workerData as Share
const current = currentInput(share.memory)
const targets = (await allTargets()).filter(({ name }) => share.names.includes(name))
for (const target of targets) {
  const fuzzer = new Fuzzer(target, share.seed, readCorpus(target.name))
  current.startTarget(share.names.indexOf(target.name))
  const endsAt = performance.now() + share.sliceMs
  await fuzzer.begin((input) => current.set(input))
  while (!fuzzer.isDone && performance.now() < endsAt) {
    for (let i = 0; i < 64; i++) await fuzzer.step((input) => current.set(input))
  }
  const report: Report = {
    name: target.name,
    inputs: fuzzer.inputs,
    refused: fuzzer.refused,
    ways: fuzzer.ways,
    elapsedMs: performance.now() - endsAt + share.sliceMs,
    findings: fuzzer.findings,
    kept: share.keep ? fuzzer.kept : [],
  }
  parentPort?.postMessage(report)
}
