/** `muster serve` with the function of the bench, reading the source's own log, for wal.ts. */
import { readConfig } from '../../src/config/config.ts';
import { defineFunction } from '../../src/function.ts';
import { serve } from '../../src/process/serve.ts';
import { definitionOf } from './workload.ts';

export interface WalStart {
  readonly url: string;
  readonly slot: string;
  readonly port: number;
}

/** When the handler of a set started. */
export interface Started {
  readonly recording: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

const { url, slot, port } = JSON.parse(process.argv[2]!) as WalStart;
const config = readConfig({
  DATABASE_URL: url,
  INTAKE: 'wal',
  SOURCE_DATABASE_URL: url,
  WAL_SLOT: slot,
  HOST: '127.0.0.1',
  PORT: String(port),
  LOG_LEVEL: 'error',
  SINK: 'stdout',
});
const { name, parts, overdueAfter } = definitionOf({
  rowsPerSet: 2,
  deadlines: true,
  completes: true,
});
const bench = defineFunction({
  name,
  parts,
  overdueAfter: overdueAfter!,
  handle({ key }) {
    const at = performance.timeOrigin + performance.now();
    process.send?.({ recording: (key as Record<string, string>)['recording']!, at });
  },
});
await serve(config, [bench]);
process.exit(0);
