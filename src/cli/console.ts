import { readConfig } from '../config/config.ts';
import { serveConsole } from '../console/main.ts';

export async function run(): Promise<void> {
  await serveConsole(readConfig(process.env));
  process.exit(0);
}
