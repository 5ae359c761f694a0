import type { SeededRandom } from '../base/index.ts'
import type { RecordedWatch, WatchMessage } from './check-watch.ts'
import type { ClientPaths } from './client.ts'
import type { ServerLife, SimulatedCluster } from './cluster.ts'
import type { Violation } from './history.ts'
import type { ServerWatchMessage, ServerWatchRequest, ServerWatchStream } from './server-seam.ts'

/** Time between two things that it does. */
const pauseMsMax = 300
const watchesMax = 6
/** How far from the newest revision a watch may begin, before and after it. */
const distanceMax = 100
/** On the way between client and server, each way: the same for all, so that order is kept. */
const wayMs = 0.2

interface BrowsedWatch {
  readonly name: string
  readonly request: ServerWatchRequest
  readonly messages: WatchMessage[]
  createdRevision: number | undefined
  isLeft: boolean
}

interface Connection {
  readonly life: ServerLife
  readonly number: number
  stream: ServerWatchStream | undefined
  /** By id; an id comes back only after its watch has ended. */
  readonly watches: Map<number, BrowsedWatch>
  isOver: boolean
  readonly onOver: () => void
}

/**
 * A client that begins and leaves watches all the time, many on one stream: from the past, from now, from revisions that
 * are still to come, with every option; asks for marks; now and then does not read for a while; and now and then goes to
 * another server. What it is told goes to the checker, watch by watch.
 */
export class WatchBrowser {
  readonly recorded: RecordedWatch[] = []
  readonly violations: Violation[] = []
  readonly #name: string
  readonly #cluster: SimulatedCluster
  readonly #paths: ClientPaths
  readonly #random: SeededRandom
  readonly #recordedRevision: () => number
  #connection: Connection | undefined
  #connections = 0
  #watches = 0
  #isResting = false

  constructor(setup: {
    name: string
    cluster: SimulatedCluster
    paths: ClientPaths
    random: SeededRandom
    /** Every revision up to it has been recorded. */
    recordedRevision: () => number
  }) {
    this.#name = setup.name
    this.#cluster = setup.cluster
    this.#paths = setup.paths
    this.#random = setup.random
    this.#recordedRevision = setup.recordedRevision
  }

  async run(): Promise<void> {
    while (!this.#isResting) {
      await this.#cluster.scheduler.wait(pauseMsMax * this.#random.unit())
      if (this.#isResting) return
      this.#connection ??= this.#connect()
      if (this.#connection !== undefined) this.#act(this.#connection)
    }
  }

  /** From here on it only reads. */
  rest(): void {
    this.#isResting = true
    const connection = this.#connection
    if (connection !== undefined) this.#say(connection, (stream) => stream.setReading(true))
  }

  /** Ends it; what is still open must have told everything up to `completeThrough`. */
  stop(completeThrough: number): void {
    if (this.#connection !== undefined) this.#close(this.#connection, completeThrough)
  }

  #act(connection: Connection): void {
    const choice = this.#random.unit()
    const open = [...connection.watches].filter(([, watch]) => !watch.isLeft)
    if (choice < 0.45) {
      if (connection.watches.size < watchesMax) this.#begin(connection)
    } else if (choice < 0.6) {
      if (open.length > 0) this.#leave(connection, this.#random.pick(open))
    } else if (choice < 0.8) this.#say(connection, (stream) => stream.requestProgress())
    else if (choice < 0.95) {
      const isReading = this.#random.chance(0.5)
      this.#say(connection, (stream) => stream.setReading(isReading))
    } else this.#close(connection, 0)
  }

  #begin(connection: Connection): void {
    const random = this.#random
    const from = this.#recordedRevision() + random.between(-distanceMax, distanceMax + 1)
    const request = {
      key: random.pick(['\0', 'a', 'k0', 'k1']),
      end: random.pick(['', 'k3', '\0', '\0']),
      startRevision: random.chance(0.2) ? 0 : Math.max(1, from),
      previous: random.chance(0.5),
      noPut: random.chance(0.2),
      noDelete: random.chance(0.2),
      fragment: random.chance(0.3),
      progressNotify: random.chance(0.5),
    }
    // An empty span is refused, which has cases of its own.
    if (request.end !== '' && request.end !== '\0' && request.key >= request.end) return
    let watchId = 1
    while (connection.watches.has(watchId)) watchId++
    const at = `${connection.life.node.name}.${connection.life.number}`
    const name = `${this.#name}.${connection.number}.${++this.#watches} at ${at} from ${request.startRevision}`
    const watch = { name, request, messages: [], createdRevision: undefined, isLeft: false }
    connection.watches.set(watchId, watch)
    this.#say(connection, (stream) => stream.create(watchId, request))
  }

  #leave(connection: Connection, [watchId, watch]: [number, BrowsedWatch]): void {
    watch.isLeft = true
    this.#say(connection, (stream) => stream.cancel(watchId))
  }

  #take(connection: Connection, watchId: number, message: ServerWatchMessage): void {
    if (watchId === -1) {
      this.#cluster.mark('watch-progress-of-all')
      if (message.kind !== 'progress') this.#report('a mark for all is a mark', message.kind)
      else for (const watch of connection.watches.values()) this.#keep(watch, message)
      return
    }
    const watch = connection.watches.get(watchId)
    if (watch === undefined) {
      this.#report('nothing is told of a watch that has ended', `${watchId}: ${message.kind}`)
      return
    }
    switch (message.kind) {
      case 'created':
        if (watch.createdRevision !== undefined) this.#report('a watch is created once', watch.name)
        watch.createdRevision = message.revision
        break
      case 'ended':
        this.#finish(connection, watchId, watch, 0)
        break
      case 'compacted':
        this.#keep(watch, message)
        this.#finish(connection, watchId, watch, 0)
        break
      default:
        if (watch.createdRevision === undefined) this.#report('a watch is created first', watch.name)
        this.#keep(watch, message)
    }
  }

  #keep(watch: BrowsedWatch, message: WatchMessage): void {
    const { createdRevision, request } = watch
    if (createdRevision === undefined) return
    if (message.kind !== 'events') this.#cluster.mark(`watch-${message.kind}`)
    else if (message.fragment) this.#cluster.mark('watch-fragment')
    else if (request.startRevision > createdRevision) this.#cluster.mark('watch-from-the-future')
    else if (request.startRevision > 0) this.#cluster.mark('watch-from-the-past')
    watch.messages.push(message)
    if (message.kind !== 'compacted') this.#cluster.scheduler.note(message.revision)
  }

  #finish(connection: Connection, watchId: number, watch: BrowsedWatch, completeThrough: number): void {
    connection.watches.delete(watchId)
    const { name, request, messages, createdRevision } = watch
    if (createdRevision !== undefined) {
      this.recorded.push({ name, request, createdRevision, messages, completeThrough })
    }
  }

  #connect(): Connection | undefined {
    const life = this.#paths.pickServer()
    if (life === undefined) return undefined
    const { scheduler } = this.#cluster
    const onOver = (): void => this.#close(connection, 0)
    const number = ++this.#connections
    const connection: Connection = {
      life,
      number,
      stream: undefined,
      watches: new Map(),
      isOver: false,
      onOver,
    }
    life.onOver.add(onOver)
    const arrive = (callback: () => void): void => {
      scheduler.after(wayMs, () => {
        if (!connection.isOver) callback()
      })
    }
    this.#deliver(connection, () => {
      connection.stream = life.server?.openWatches({
        onMessage: (watchId, message) => arrive(() => this.#take(connection, watchId, message)),
        onEnd: () => arrive(onOver),
      })
    })
    return connection
  }

  #say(connection: Connection, action: (stream: ServerWatchStream) => void): void {
    this.#deliver(connection, () => {
      if (connection.stream !== undefined) action(connection.stream)
    })
  }

  #deliver(connection: Connection, callback: () => void): void {
    const { life } = connection
    this.#cluster.scheduler.after(wayMs, () => {
      if (!life.isOver) life.node.machine.process.deliver(callback)
    })
  }

  #close(connection: Connection, completeThrough: number): void {
    if (connection.isOver) return
    connection.isOver = true
    if (this.#connection === connection) this.#connection = undefined
    connection.life.onOver.delete(connection.onOver)
    this.#say(connection, (stream) => stream.close())
    for (const [watchId, watch] of connection.watches) {
      // One that was left may have been told less.
      this.#finish(connection, watchId, watch, watch.isLeft ? 0 : completeThrough)
    }
  }

  #report(promise: string, facts: string): void {
    this.violations.push({ promise: `watch: ${promise}`, facts: `${this.#name}: ${facts}` })
  }
}
