import { readFileSync } from 'node:fs';

/** When to end: asked (in good order) or pressed (at once). */
export class StopRequest {
  /** Settles with the reason. */
  readonly asked: Promise<string>;
  /** Settles when somebody asks again. */
  readonly pressed: Promise<void>;
  isAsked = false;

  /** Listens for signals, a closed output, and the death of the npm that started this process. */
  constructor() {
    const asked = Promise.withResolvers<string>();
    const pressed = Promise.withResolvers<void>();
    this.asked = asked.promise;
    this.pressed = pressed.promise;
    let since = 0;
    const ask = (reason: string) => {
      // Ctrl-C reaches the whole process group, and npm passes on what it gets: that is one request.
      if (this.isAsked && Date.now() - since > 500) pressed.resolve();
      if (!this.isAsked) since = Date.now();
      this.isAsked = true;
      asked.resolve(reason);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ask);
    process.stdout.on('error', () => ask('output closed'));
    if (process.env['npm_lifecycle_event']) whenOrphaned(() => ask('npm ended'));
  }
}

/** npm runs a script through a shell, which outlives a killed npm: the parent's parent is watched too. */
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
    return undefined; // gone, or no Linux
  }
}
