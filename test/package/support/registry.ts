/** A registry of packages that has the packed package, and gets every other one from the registry of this machine. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { onTestFinished } from 'vitest';
import { command, type Packed } from './project.ts';

/** Starts the registry for one test; returns its URL. */
export async function startRegistry({ content, tarball }: Packed): Promise<string> {
  const { stdout } = await command('/', ['npm', 'config', 'get', 'registry']);
  const upstream = stdout.trim().replace(/\/$/, '');
  const manifest = JSON.parse(readFileSync(join(content, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
  };
  const { name, version } = manifest;
  const packed = readFileSync(tarball);
  const server = createServer((request, response) => {
    if (request.url === `/${name}/-/package.tgz`) return void response.end(packed);
    if (request.url !== `/${name}`) return void forward(upstream, request, response);
    const integrity = `sha512-${createHash('sha512').update(packed).digest('base64')}`;
    const dist = { tarball: `${url}/${name}/-/package.tgz`, integrity };
    const versions = { [version]: { ...manifest, dist } };
    return void response.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions }));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return url;
}

async function forward(
  upstream: string,
  { url, headers: { accept = '*/*' } }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const answer = await fetch(`${upstream}${url}`, { headers: { accept } });
    response.writeHead(answer.status, {
      'content-type': answer.headers.get('content-type') ?? 'application/octet-stream',
    });
    await pipeline(Readable.fromWeb(answer.body as never), response);
  } catch {
    response.destroy();
  }
}
