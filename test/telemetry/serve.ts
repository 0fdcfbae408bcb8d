/** The process under test: `muster serve` with a function whose handler fails and logs depending on the key. */
import { createRequire } from 'node:module';
import { readConfig } from '../../src/config/config.ts';
import { defineFunction, TerminalError } from '../../src/function.ts';
import { serve } from '../../src/process/serve.ts';

const part = (kind: string) =>
  ({ table: 'public.item', key: 'k', where: { kind }, columns: ['note'] }) as const;

const pair = defineFunction({
  name: 'pair',
  parts: { a: part('a'), b: part('b') },
  retry: { first: '10 milliseconds', max: '20 milliseconds' },
  async handle({ keyText, parts }, { attempt, log, traceparent, tx }) {
    const { row } = parts.a[0]!;
    log.info({ attempts: attempt, row, list: [row], note: 'as short as this' }, 'handling');
    if (keyText.startsWith('fails') && attempt === 1) throw new RangeError('too far');
    if (keyText.startsWith('quotes')) JSON.parse(row['note'] as string);
    if (keyText.startsWith('refused')) {
      throw Object.assign(new TerminalError(`bad value "${row['note'] as string}"`), {
        code: '22P02',
      });
    }
    if (keyText.startsWith('writes')) await tx.query('select');
    return [{ type: 'pair.handled', data: { traceparent } }];
  },
});

await serve(readConfig(process.env), [pair]);
const loaded = Object.keys(createRequire(import.meta.url).cache)
  // prom-client loads the API, which does nothing on its own
  .filter((file) => file.includes('/@opentelemetry/') && !file.includes('/@opentelemetry/api/'));
process.stdout.write(`${JSON.stringify({ loaded: loaded.length })}\n`);
process.exit(0);
