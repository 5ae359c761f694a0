import { QuorateError } from '../base/index.ts'
import type { Address } from '../io/index.ts'

/** "http://host:port" or "host:port" to an address; IPv6 hosts in brackets. Error `address-invalid`. */
export function parseAddress(url: string): Address {
  const match = /^(?:http:\/\/)?(\[[0-9a-fA-F:]+\]|[^/\s:[\]]+):(\d{1,5})\/?$/.exec(url)
  const port = Number(match?.[2])
  if (match?.[1] === undefined || port > 65_535) {
    throw new QuorateError('address-invalid', `"${url}" is no address of the form http://host:port`)
  }
  return { host: match[1].replace(/^\[|\]$/g, ''), port }
}
