/** Starts PostgreSQL on the given folder, prints its URL, and keeps running: for tests that kill this process. */
import { startPostgres } from '../../../src/local/postgres/postgres.ts';
import { THROWAWAY } from './throwaway.ts';

const [folder = '', ...native] = process.argv.slice(2);
const {
  pid,
  url,
  folder: placed,
} = await startPostgres({
  folder,
  settings: THROWAWAY,
  ...(native[0] ? { native: native[0] } : {}),
});
process.stdout.write(`${JSON.stringify({ pid, url, folder: placed })}\n`);
setInterval(() => {}, 1000);
