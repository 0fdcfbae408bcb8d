/** When to end: asked (in good order) or pressed (at once). */
export class StopRequest {
  /** Settles with the reason. */
  readonly asked: Promise<string>;
  /** Settles when somebody asks again. */
  readonly pressed: Promise<void>;
  isAsked = false;

  /** Listens for signals, a closed output, and the end of npm if npm started this process. */
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

    const parent = process.ppid;
    const check = () => process.ppid !== parent && ask('npm ended');
    if (process.env['npm_lifecycle_event']) setInterval(check, 500).unref();
  }
}
