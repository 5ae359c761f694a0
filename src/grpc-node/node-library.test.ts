// What the clients see is the same with the HTTP/2 library of Node: the same tests again, in this process.
import { useHttp2Library } from '../../testing/grpc-client.ts'

useHttp2Library('node')
await import('./calls.test.ts')
await import('./connections.test.ts')
await import('./grpc-js.test.ts')
