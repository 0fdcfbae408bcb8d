import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** The fields that every object has. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
}

/** Runs kubectl in the current context; rejects with its standard error if it fails. */
export function kubectl(args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 } as const;
    const child = execFile('kubectl', [...args], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`kubectl ${args.join(' ')}: ${stderr.trim() || error.message}`));
    });
    child.stdin!.on('error', () => {}).end(input);
  });
}

export async function get<T extends object>(...args: string[]): Promise<T> {
  return JSON.parse(await kubectl(['get', ...args, '--output=json'])) as T;
}

/** Applies the objects server-side, with strict validation of unknown and duplicate fields. */
export async function apply(objects: readonly object[]): Promise<void> {
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  const how = ['--server-side', '--field-manager=muster-trial', '--validate=strict'];
  await kubectl(['apply', ...how, '--filename=-'], list);
}

export interface Change<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: T;
}

/** Reports every change of the objects that `kubectl get` would list, until the signal aborts. */
export async function watch<T extends KubernetesObject>(
  args: readonly string[],
  onChange: (change: Change<T>) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const how = ['--watch', '--output-watch-events', '--output=json'];
    const child = spawn('kubectl', ['get', ...args, ...how], {
      stdio: ['ignore', 'pipe', 'ignore'],
      signal,
    });
    child.on('error', () => {}); // the abort is reported as an error
    for await (const line of createInterface(child.stdout)) onChange(JSON.parse(line) as Change<T>);
    await sleep(500, undefined, { signal }).catch(() => {}); // the API server closed the watch
  }
}
