import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

/** Creates an empty database on the server of the test run. */
export async function freshDatabase(): Promise<{ readonly url: string }> {
  const serverUrl = inject('serverUrl');
  const name = `fresh_${randomUUID().replaceAll('-', '')}`;
  const admin = new pg.Client(`${serverUrl}/postgres`);
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  return { url: `${serverUrl}/${name}` };
}
