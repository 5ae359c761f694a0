/** The fields of one request or answer in their order. Lists that are equal may be the same object: never changed. */
export interface HeaderList {
  /** Names and values in turn, one character a byte. */
  readonly fields: readonly string[]
  /** It was larger than the limit; `fields` is empty then. */
  readonly isTooLarge: boolean
}

export const noHeaders: HeaderList = { fields: [], isTooLarge: false }

export function headerList(fields: readonly string[]): HeaderList {
  return { fields, isTooLarge: false }
}

/** The value of the first field with that name. */
export function fieldOf(list: HeaderList, name: string): string | undefined {
  const { fields } = list
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name) return fields[i + 1]
  }
  return undefined
}

/** What a field counts as, in a table and in a list (section 4.1, and RFC 9113 section 6.5.2). */
export function fieldBytes(name: string, value: string): number {
  return name.length + value.length + 32
}
