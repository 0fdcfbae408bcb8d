import { toCloudEvent, type Sink } from './sink.ts';

/** Prints each event as one line of structured JSON: `SINK=stdout`. */
export function stdoutSink(extensions: Readonly<Record<string, string>>): Sink {
  return {
    name: 'stdout',
    send(event) {
      return new Promise((resolve) => {
        process.stdout.write(`${JSON.stringify(toCloudEvent(event, extensions))}\n`, (error) =>
          resolve(error ? { kind: 'again', error: error.message } : { kind: 'sent' }),
        );
      });
    },
    async close() {},
  };
}
