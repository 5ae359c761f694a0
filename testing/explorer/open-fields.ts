/**
 * Opens the private fields of the modules under `src/`, in this process only: `#name` is loaded as `_name`. The explorer
 * copies and compares whole states of the real code; with a list of fields, or with a copy method in each class, one
 * that is added later could be forgotten, and two different states taken for one. Import it before anything else.
 */
import { registerHooks } from 'node:module'

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (!url.includes('/src/') || !url.endsWith('.ts')) return loaded
    const source = String(
      loaded.source instanceof Uint8Array ? new TextDecoder().decode(loaded.source) : loaded.source,
    )
    return { ...loaded, source: source.replace(/(?<![\w`'"])#(?=[a-z])/g, '_') }
  },
})
