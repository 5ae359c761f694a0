import { assert } from './assert.ts'

/** First in, first out, with a bound that the owner states. O(1) at both ends. */
export class RingQueue<T> {
  readonly capacity: number
  #slots: (T | undefined)[]
  #head = 0
  #size = 0

  constructor(capacity: number) {
    assert(Number.isSafeInteger(capacity) && capacity > 0, 'a queue has a positive capacity')
    this.capacity = capacity
    this.#slots = new Array(Math.min(capacity, 16))
  }

  get size(): number {
    return this.#size
  }

  get isFull(): boolean {
    return this.#size === this.capacity
  }

  /** Adds at the back. False, and nothing changed, when the queue is full. */
  push(value: T): boolean {
    if (this.#size === this.capacity) return false
    if (this.#size === this.#slots.length) this.#grow()
    this.#slots[(this.#head + this.#size) % this.#slots.length] = value
    this.#size++
    return true
  }

  /** Takes from the front; undefined when empty. */
  shift(): T | undefined {
    if (this.#size === 0) return undefined
    const value = this.#slots[this.#head]
    this.#slots[this.#head] = undefined
    this.#head = (this.#head + 1) % this.#slots.length
    this.#size--
    return value
  }

  /** The value at the front, which stays; undefined when empty. */
  peek(): T | undefined {
    return this.#size === 0 ? undefined : this.#slots[this.#head]
  }

  #grow(): void {
    const larger = new Array<T | undefined>(Math.min(this.capacity, this.#slots.length * 2))
    for (let i = 0; i < this.#size; i++) larger[i] = this.#slots[(this.#head + i) % this.#slots.length]
    this.#slots = larger
    this.#head = 0
  }
}
