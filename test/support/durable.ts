import { migrate } from '../../src/state/schema/migrate.ts';
import { install } from './server.ts';
import { databaseAt, test as base, type TestDatabase } from './test.ts';

/** Starts a server whose commits survive a crash of the machine, as the doctor demands; see NOT_DURABLE. */
export async function durableServer(): Promise<{
  /** The URL of an empty database. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}> {
  const { server, url, remove } = await install();
  await server.start();
  const stop = async () => {
    await server.stop();
    await remove();
  };
  return { url: `${url}/postgres`, stop };
}

/** The fixture `db` on such a server. */
export async function durableDatabase(
  _: object,
  { onCleanup }: { onCleanup: (cleanup: () => Promise<void>) => void },
): Promise<TestDatabase> {
  const { url, stop } = await durableServer();
  const { db, close } = databaseAt(url);
  onCleanup(async () => {
    await close();
    await stop();
  });
  await migrate(url, ['recordings']);
  return db;
}

export const durable = base.extend('db', ({}, context) => durableDatabase({}, context));
