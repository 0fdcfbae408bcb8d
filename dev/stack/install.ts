import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brokerSettings, toProperties } from './settings.ts';
import { javaCommand, javaEnvironment, missingTools } from './tools.ts';

/** Kafka, Kafka Connect and Debezium, as fetched by Maven. */
export interface Installation {
  readonly classpath: string;
  /** `plugin.path` of Connect. */
  readonly plugins: string;
  /** A formatted log directory; copying it saves each new broker 1.5 s. */
  readonly formatted: string;
}

const POM = fileURLToPath(new URL('pom.xml', import.meta.url));
const MYSQL_POM = fileURLToPath(new URL('mysql-pom.xml', import.meta.url));
const CACHE = fileURLToPath(new URL('../../../.muster/stack/', import.meta.url));

/** Fetches the dependencies in pom.xml once (80 MB, 15 s); throws with one line if Java or Maven is missing. */
export async function install(say: (line: string) => void): Promise<Installation> {
  const folder = await fetched(POM, 'Kafka and Debezium (about 80 MB, once)', say, format);
  return {
    classpath: join(folder, 'lib', '*'),
    plugins: join(folder, 'plugins'),
    formatted: join(folder, 'formatted'),
  };
}

/** Fetches Debezium's connectors for MySQL and MariaDB once (62 MB); returns a folder for Connect's `plugin.path`. */
export async function installMySqlConnectors(say: (line: string) => void): Promise<string> {
  const what = "Debezium's connectors for MySQL and MariaDB (62 MB, once)";
  return join(await fetched(MYSQL_POM, what, say), 'plugins');
}

/** Returns the folder with what a pom.xml lists; `prepare` completes it before others see it. */
export async function fetched(
  pom: string,
  what: string,
  say: (line: string) => void,
  prepare: (folder: string) => Promise<void> = () => Promise.resolve(),
): Promise<string> {
  const missing = missingTools();
  if (missing) throw new Error(missing);
  const name = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 12);
  const folder = join(CACHE, name);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  await alone(`${folder}.lock`, say, async () => {
    if (existsSync(folder)) return;
    const parts = `${folder}.${process.pid}`;
    rmSync(parts, { recursive: true, force: true });
    say(`fetching ${what} with Maven`);
    await maven(pom, parts, say);
    await prepare(parts);
    renameSync(parts, folder);
  });
  return folder;
}

async function maven(pom: string, into: string, say: (line: string) => void): Promise<void> {
  const child = spawn('mvn', ['-B', '-f', pom, `-Dinto=${into}`, 'package'], {
    env: javaEnvironment(),
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const errors: string[] = [];
  let files = 0;
  let loggedAt = Date.now();
  for await (const line of createInterface(child.stdout)) {
    if (line.includes('ERROR')) errors.push(line);
    if (line.includes('Downloaded from')) files += 1;
    if (Date.now() - loggedAt < 3_000) continue;
    loggedAt = Date.now();
    say(`${files} files fetched`);
  }
  if ((await ended) !== 0) throw new Error(`Maven failed:\n${errors.slice(0, 8).join('\n')}`);
}

async function format(parts: string): Promise<void> {
  const folder = join(parts, 'formatted');
  const config = join(parts, 'format.properties');
  writeFileSync(config, toProperties(brokerSettings({ folder, port: 9092, controllerPort: 9093 })));
  const args = ['format', '--config', config, '--cluster-id', 'bXVzdGVyLW11c3Rlci1tdQ'];
  const flags = ['-XX:TieredStopAtLevel=1', '-cp', join(parts, 'lib', '*')];
  await promisify(execFile)(javaCommand(), [...flags, 'kafka.tools.StorageTool', ...args], {
    env: javaEnvironment(),
  });
}

/** Lets only one process run the step at a time; a lock whose owner is dead is ignored. */
async function alone(
  lock: string,
  say: (line: string) => void,
  work: () => Promise<void>,
): Promise<void> {
  for (let hasLogged = false; !take(lock); await sleep(200)) {
    if (!hasLogged) say('another process is fetching Kafka; waiting for it');
    hasLogged = true;
  }
  try {
    await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function take(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch {
    if (isAlive(lock)) return false;
    rmSync(lock, { force: true });
    return false;
  }
}

function isAlive(lock: string): boolean {
  try {
    return process.kill(Number(readFileSync(lock, 'utf8')) || 1, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
