import { createServer, type Socket } from 'node:net';
import { freePort } from '../../../src/local/port.ts';

/** An answer: a status, with headers and a body; or none, in which case the connection is cut. */
export type RawAnswer =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  | 'cut';

/** An HTTP server that records what is sent to it, byte for byte (as Latin-1). */
export interface RawSink {
  readonly url: string;
  readonly requests: string[];
  /** The next answers, in order; 204 when they are used up. A promise delays the answer. */
  readonly answers: (RawAnswer | Promise<RawAnswer>)[];
  close(): void;
}

export async function startRawSink(): Promise<RawSink> {
  const requests: string[] = [];
  const answers: RawSink['answers'] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    let bytes = '';
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', async (chunk) => {
      bytes += chunk.toString('latin1');
      const end = bytes.indexOf('\r\n\r\n') + 4;
      const [, length = '0'] = /\r\ncontent-length: (\d+)/.exec(bytes.slice(0, end)) ?? [];
      if (end < 4 || bytes.length < end + Number(length)) return;
      requests.push(bytes);
      bytes = '';
      const answer = await (answers.shift() ?? { status: 204 });
      if (answer === 'cut') socket.destroy();
      else socket.write(write(answer));
    });
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    answers,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function write({ status, headers = {}, body = '' }: Exclude<RawAnswer, 'cut'>): string {
  const all = status === 204 ? headers : { ...headers, 'content-length': String(body.length) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Answer\r\n${lines.join('')}\r\n${body}`;
}
