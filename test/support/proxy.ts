import { createServer, connect, type AddressInfo, type Socket } from 'node:net';

/** A proxy in front of Postgres that can lose an answer. */
export interface Proxy {
  /** The database's URL through the proxy. */
  readonly url: string;
  /**
   * Loses the answer of the next execution of this statement (the name of a prepared one, or its text): the
   * server completes it, and the connection is cut before a byte of its answer arrives. Resolves when that
   * has happened.
   */
  loseAnswerTo(statement: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts a proxy, on a free port by default. */
export async function startProxy(databaseUrl: string, port = 0): Promise<Proxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let armed: { statement: string; cut: () => void } | null = null;

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let losing: (() => void) | null = null;
    const cut = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', cut).on('close', () => {
        sockets.delete(socket);
        cut();
      });
    }
    // Statements can be sent before earlier ones are answered; the start of a session counts as one too.
    let unanswered = 1;
    let ahead = 0;
    // The first message of a connection has no type.
    const sent = messages('', (type, body) => {
      if (armed !== null && statementOf(type, body) === armed.statement) {
        losing = armed.cut;
        armed = null;
        ahead = unanswered;
      }
      if (type === 'Q' || type === 'S') unanswered++;
    });
    const answered = messages(null, (type) => {
      // ReadyForQuery comes after the commit, CommandComplete before it.
      if (type !== 'Z') return;
      unanswered--;
      if (losing === null || ahead-- > 0) return;
      cut();
      losing();
    });
    client.on('data', (chunk) => {
      sent(chunk);
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      const lost = losing !== null;
      answered(chunk);
      if (!lost) client.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));

  const url = new URL(databaseUrl);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    loseAnswerTo: (statement) =>
      new Promise((resolve) => {
        armed = { statement, cut: resolve };
      }),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function statementOf(type: string, body: Buffer): string | null {
  const texts = body.toString('utf8').split('\0');
  if (type === 'B') return texts[1] ?? null; // portal, then statement
  if (type === 'P') return texts[1] ?? null; // name, then text
  return type === 'Q' ? texts[0]! : null;
}

/** Splits a stream into messages of the frontend/backend protocol: type, length, body. */
function messages(
  first: '' | null,
  onMessage: (type: string, body: Buffer) => void,
): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  let untyped = first === '';
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const head = untyped ? 0 : 1;
      if (rest.length < head + 4) return;
      const end = head + rest.readInt32BE(head);
      if (rest.length < end) return;
      const type = untyped ? '' : String.fromCharCode(rest[0]!);
      onMessage(type, rest.subarray(head + 4, end));
      rest = rest.subarray(end);
      untyped = false;
    }
  };
}
