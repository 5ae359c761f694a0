/**
 * hpack: header lists of HTTP/2 as bytes, both ways. Pure: knows no frames, no streams, no sockets.
 *
 * Words. A *field* is a name and a value; a *header list* is the fields of one request or answer in their order; a
 * *block* is its bytes. The *static table* is the same for everybody; the *dynamic table* holds fields that one side of
 * one connection has sent before, newest first, and both ends keep the same one.
 *
 * Invariants
 * 1. Both ends see the same sequence of insertions and evictions: every block is decoded, in the order in which the
 *    blocks came, even one whose list is refused.
 * 2. A block that cannot be decoded ends the connection: whatever comes after it would mean something else.
 * 3. The bytes of a table never exceed its size limit; the decoder's limit is the one that this side has announced.
 * 4. A list larger than the limit is walked through, for invariant 1, and not kept.
 * 5. The same block means the same list for as long as the table has not changed. That is what makes it cheap: a client
 *    repeats itself, so its lists are decoded once and the very same object is answered again.
 *
 * Source: RFC 7541, section numbers in the code.
 *
 * Left out: Huffman coding of what is sent (allowed by section 5.2, and answers are a few bytes that are sent once and
 * then named by their index); never-indexed literals in answers (section 7.1.3: no secret is in them).
 */
export { HpackDecoder, type HpackDecoderLimits, HpackError } from './decoder.ts'
export { HpackEncoder } from './encoder.ts'
export { fieldOf, type HeaderList, headerList, noHeaders } from './header-list.ts'
