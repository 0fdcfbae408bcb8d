/** Functions of a user's project that serve a set. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished } from 'vitest';
import { freePort } from '../../../src/local/port.ts';
import { freshDatabase } from '../../support/fresh-database.ts';
import { until } from '../../support/until.ts';
import { userEnvironment, type User } from './project.ts';

/** Variables with which the functions serve on a new database and a free port. */
export async function servingEnvironment(): Promise<Record<string, string>> {
  return {
    DATABASE_URL: (await freshDatabase()).url,
    HOST: '127.0.0.1',
    PORT: String(await freePort()),
    SINK: 'stdout',
  };
}

/** What `muster migrate` prints for the project on a new database. */
export const MIGRATED = 'orders/001_shipment\nregistered: orders, generation 1\n';

/** Runs commands that end with `muster serve`, posts the rows of a set, and returns what was printed. */
export async function serveSet(
  folder: string,
  commands: string,
  more: Readonly<Record<string, string>> = {},
  user?: User,
): Promise<string> {
  const env = { ...(await servingEnvironment()), EXIT_WITH_STDIN: '1', ...more };
  const served = spawn('sh', ['-e', '-c', commands], {
    cwd: folder,
    env: { ...userEnvironment(), ...env },
    ...user,
  });
  onTestFinished(() => void served.kill('SIGKILL'));
  const said = await shipOrder(served, env);
  expect(said).toContain(MIGRATED);
  served.stdin.end();
  expect(await once(served, 'exit')).toEqual([0, null]);
  return said;
}

/** Posts the rows of a set once the functions serve; resolves with what they printed up to the handler's event. */
export async function shipOrder(
  served: ChildProcess,
  env: Readonly<Record<string, string>>,
): Promise<string> {
  let said = '';
  for (const output of [served.stdout!, served.stderr!]) {
    output.on('data', (text) => (said += text));
  }
  const change = (table: string, after: object) => postRow(env['PORT']!, table, after);
  await until(async () => {
    if (served.exitCode !== null) throw new Error(`it has ended:\n${said}`);
    return (await change('payment', { id: 1, order_id: 7, status: 'captured' })) === 204;
  });
  expect(await change('parcel', { id: 2, order_id: 7, weight: 5 })).toBe(204);
  await until(() => said.includes('order.shipped'));
  return said;
}

/** Posts a new row of a table as a KafkaSource does; returns the status, 0 without an answer. */
export async function postRow(port: string, table: string, after: object): Promise<number> {
  const source = { name: 'me', schema: 'shop', table, lsn: 1, ts_ms: 1 };
  const sent = fetch(`http://127.0.0.1:${port}/`, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-type': 'dev.knative.kafka.event',
      'ce-source': '/me',
      'ce-id': table,
    },
    body: JSON.stringify({ op: 'c', before: null, after, source }),
  });
  return sent.then(
    ({ status }) => status,
    () => 0,
  );
}
