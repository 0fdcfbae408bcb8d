/**
 * Keeps Node from printing warnings of this name; others are printed as before. It is for the entry point of
 * a process of our own, and does what the flag `--disable-warning` would: the flag can't be given to a command
 * that is started by its `#!` line.
 */
export function disableWarning(name: string): void {
  const printers = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name === name) return;
    for (const print of printers) print(warning);
  });
}
