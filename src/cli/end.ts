/** Time for what a command has printed to be read. */
const PRINTED_MS = 500;

/** Ends a command that has loaded functions, whose files may have left a timer or a connection open. */
export function endSoon(): void {
  setTimeout(() => process.exit(), PRINTED_MS).unref();
}
