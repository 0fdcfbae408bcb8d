/**
 * Keeps Node from printing warnings of this name; others are printed as before. Equivalent to the flag
 * `--disable-warning`, which can't be given to a command that is started by its `#!` line. Only for the entry
 * point of a process.
 */
export function disableWarning(name: string): void {
  const printers = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name === name) return;
    for (const print of printers) print(warning);
  });
}
