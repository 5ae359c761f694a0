// Loaded into every node of Quorate under test. SIGUSR2: the event loop has other things to do for a while, in pieces
// longer than a heartbeat interval and far shorter than an election timeout.
const busyMs = 4_000
const pieceMs = 150
const restMs = 10

process.on('SIGUSR2', () => {
  const untilMs = performance.now() + busyMs
  const spin = (): void => {
    const startMs = performance.now()
    while (performance.now() - startMs < pieceMs);
    if (performance.now() < untilMs) setTimeout(spin, restMs)
  }
  spin()
})
