import { readFileSync } from 'node:fs';

/** A request to stop: `requested` for an orderly stop, `forced` for an immediate one. */
export class StopRequest {
  /** Resolves with the reason. */
  readonly requested: Promise<string>;
  /** Resolves at the second request. */
  readonly forced: Promise<void>;
  isRequested = false;

  /** Listens for signals, a closed output, and the exit of the npm that started this process. */
  constructor() {
    const requested = Promise.withResolvers<string>();
    const forced = Promise.withResolvers<void>();
    this.requested = requested.promise;
    this.forced = forced.promise;
    let since = 0;
    const request = (reason: string) => {
      // Ctrl-C reaches the whole process group, and npm forwards its signal: together they are one request.
      if (this.isRequested && Date.now() - since > 1_000) forced.resolve();
      if (!this.isRequested) since = Date.now();
      this.isRequested = true;
      requested.resolve(reason);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, request);
    process.stdout.on('error', () => request('output closed'));
    if (process.env['npm_lifecycle_event']) whenOrphaned(() => request('npm exited'));
  }
}

/** Watches the grandparent too: npm runs a script through a shell, which outlives a killed npm. */
function whenOrphaned(onOrphaned: () => void): void {
  const before = ancestors();
  const timer = setInterval(() => {
    if (ancestors() === before) return;
    clearInterval(timer);
    onOrphaned();
  }, 500);
  timer.unref();
}

function ancestors(): string {
  return `${process.ppid} ${parentOf(process.ppid)}`;
}

function parentOf(pid: number): string | undefined {
  try {
    return /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  } catch {
    return undefined; // it has exited, or this is not Linux
  }
}
