import { readFileSync } from 'node:fs';

/** A request to stop: `asked` for an orderly stop, `pressed` for an immediate one. */
export class StopRequest {
  /** Resolves with the reason. */
  readonly asked: Promise<string>;
  /** Resolves at the second request. */
  readonly pressed: Promise<void>;
  isAsked = false;

  /** Listens for signals, a closed output, and the exit of the npm that started this process. */
  constructor() {
    const asked = Promise.withResolvers<string>();
    const pressed = Promise.withResolvers<void>();
    this.asked = asked.promise;
    this.pressed = pressed.promise;
    let since = 0;
    const ask = (reason: string) => {
      // Ctrl-C reaches the whole process group, and npm forwards its signal: together they are one request.
      if (this.isAsked && Date.now() - since > 500) pressed.resolve();
      if (!this.isAsked) since = Date.now();
      this.isAsked = true;
      asked.resolve(reason);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ask);
    process.stdout.on('error', () => ask('output closed'));
    if (process.env['npm_lifecycle_event']) whenOrphaned(() => ask('npm exited'));
  }
}

/** Watches the grandparent too: npm runs a script through a shell, which outlives a killed npm. */
function whenOrphaned(tell: () => void): void {
  const before = ancestors();
  const timer = setInterval(() => {
    if (ancestors() === before) return;
    clearInterval(timer);
    tell();
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
