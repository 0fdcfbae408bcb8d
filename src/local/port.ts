import { execFile } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { promisify } from 'node:util';

/** Returns a port that was free a moment ago; never a fixed one, so that two demos can share a machine. */
export async function freePort(): Promise<number> {
  return listenOnce(0, '127.0.0.1');
}

/**
 * Throws unless this process can listen on the port; the error names the process that uses it. Tries every
 * address of `localhost`, because a client that resolves it to ::1 would reach the process listening there.
 */
export async function requireFreePort(port: number): Promise<void> {
  for (const host of ['127.0.0.1', '::1', '0.0.0.0', '::']) {
    const code = await listenOnce(port, host).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error.code,
    );
    if (code === 'EADDRINUSE') throw new Error(await taken(port));
    if (code === 'EACCES') {
      throw new Error(
        `this user is not allowed to listen on port ${port}; choose a port above 1023`,
      );
    }
  }
}

/** Returns a message that names the process listening on a port. */
export async function taken(port: number): Promise<string> {
  const owner = (await ownerOf(port)) ?? 'another process';
  return `port ${port} is in use by ${owner}; stop it or choose another port`;
}

function listenOnce(port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen({ port, host, ipv6Only: host === '::' }, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Returns the name and id of the process that listens on a port; undefined if this user can't see it. */
async function ownerOf(port: number): Promise<string | undefined> {
  try {
    return process.platform === 'linux' ? ownerInProc(port) : await ownerByLsof(port);
  } catch {
    return undefined;
  }
}

/** State 0A is LISTEN; the fields are: slot, local address, remote address, state, …, inode. */
function ownerInProc(port: number): string | undefined {
  const ending = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets = ['tcp', 'tcp6']
    .flatMap((table) => readFileSync(`/proc/net/${table}`, 'utf8').trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]!.endsWith(ending) && fields[3] === '0A')
    .map((fields) => `socket:[${fields[9]}]`);
  const pid = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .find((each) => filesOf(each).some((file) => sockets.includes(file)));
  if (pid === undefined) return undefined;
  return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (process ${pid})`;
}

function filesOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return ''; // it has been closed
      }
    });
  } catch {
    return []; // it has exited, or belongs to another user
  }
}

async function ownerByLsof(port: number): Promise<string | undefined> {
  const args = ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpc'];
  const { stdout } = await promisify(execFile)('lsof', args);
  const pid = /^p(\d+)$/m.exec(stdout)?.[1];
  const name = /^c(.+)$/m.exec(stdout)?.[1];
  return pid === undefined ? undefined : `${name ?? 'a program'} (process ${pid})`;
}
