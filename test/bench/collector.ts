/** A collector in a separate process: accepts all requests, and counts them by path. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const taken: Record<string, number> = {};
const server = createServer((request, response) => {
  taken[request.url!] = (taken[request.url!] ?? 0) + 1;
  request.resume().once('end', () => response.end());
});
server.listen(0, '127.0.0.1', () => {
  process.send!({ port: (server.address() as AddressInfo).port });
});
process.on('message', () => process.send!(taken));
process.once('disconnect', () => process.exit(0));
