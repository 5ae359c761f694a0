// Visits every state of small models of the raft room and checks the rules of consensus in each:
//   node testing/explore.ts [--model NAME|all] [--minutes N] [--states N] [--totals]
// One line a model at the end; exit code 1 when a rule was broken, and then the path as a case for src/raft/testdata.
import './explorer/open-fields.ts'

const { explore } = await import('./explorer/main.ts')
explore()
