import { gunzipSync } from 'node:zlib'
import { type Decompress, GrpcError, grpcStatus } from '../grpc/index.ts'

/**
 * In the event loop and not on the thread pool: the pool is where log writes wait, and the limit on the result keeps
 * it at a few milliseconds.
 */
export const gunzip: Decompress = (bytes, bytesMax) => {
  try {
    return new Uint8Array(gunzipSync(bytes, { maxOutputLength: bytesMax }))
  } catch (error) {
    if (error instanceof RangeError) {
      const text = `grpc: received message after decompression larger than max ${bytesMax}`
      throw new GrpcError(grpcStatus.resourceExhausted, text)
    }
    throw new GrpcError(grpcStatus.internal, 'grpc: failed to decompress the received message')
  }
}
