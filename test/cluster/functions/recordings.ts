import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import {
  all,
  any,
  defineFunction,
  type FunctionDefinition,
  type HandlerContext,
  type OutgoingEvent,
} from '../../../src/function.ts';

/**
 * Replaces the function of the same name in the image, so that the scenes test that function's manifests.
 * Its handlers follow the instruction in a row's `sensor_label`: `sleep 200` (milliseconds), `fail 1`
 * (the first attempt). They record what they do in the tables of recordings/migrations.
 */
const TABLE = {
  table: 'datastore.signal',
  key: ['recording', 'span'],
  columns: ['sensor_label'],
  base64: ['span'],
} as const;

const eeg = { ...TABLE, where: { sensor_type: 'eeg' } } as const;
const accelerometer = { ...TABLE, where: { sensor_type: 'accelerometer' } } as const;
const ecg = { ...TABLE, where: { sensor_type: 'ecg' } } as const;

const common = {
  name: 'recordings',
  // Longer than scaling to zero takes, so that both have to wake a pod.
  overdueAfter: '80 seconds',
  retry: { first: '80 seconds' },
} as const;

const first = defineFunction({
  ...common,
  parts: { eeg, accelerometer },
  complete: all('eeg', 'accelerometer'),
  handle: (set, context) => handle(set.key, set.parts.eeg[0]?.row['sensor_label'], context),
});

/** The definition that the rolling update installs. */
const second = defineFunction({
  ...common,
  parts: { eeg, accelerometer, ecg },
  complete: all('eeg', any('accelerometer', 'ecg')),
  handle: (set, context) => handle(set.key, set.parts.eeg[0]?.row['sensor_label'], context),
});

const definitions: Readonly<Record<string, FunctionDefinition>> = { first, second };

export default definitions[process.env['TRIAL_DEFINITION'] ?? 'first'];

let traces: pg.Pool | undefined;

async function handle(
  { recording, span }: { readonly recording: string; readonly span: string },
  label: unknown,
  { tx, runId, attempt, signal }: HandlerContext,
): Promise<OutgoingEvent[]> {
  const values = [runId, recording, span, attempt, hostname()];
  await pool().query(insertInto('started'), values);
  const [what, number] = String(label).split(' ');
  if (what === 'sleep') await sleep(Number(number), undefined, { signal });
  if (what === 'fail' && attempt <= Number(number)) {
    throw new Error(`attempt ${attempt} is to fail`);
  }
  await tx.query(insertInto('effect'), values);
  return [{ type: 'trial.processed' }];
}

function insertInto(table: string): string {
  return `insert into recordings.${table} (run, recording, span, attempt, pod) values ($1, $2, $3, $4, $5)`;
}

/** A connection of its own, so that a record of a start survives a rollback of the run's transaction. */
function pool(): pg.Pool {
  if (traces === undefined) {
    traces = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 2 });
    traces.on('error', () => {});
  }
  return traces;
}
