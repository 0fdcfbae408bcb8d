import type { Mutant } from './mutants.ts';

const BODY = 'src/intake/http/body.ts';
const CONNECTIONS = 'src/intake/http/connections.ts';
const PROTOCOL = 'src/intake/http/protocol.ts';
const REFUSAL = 'src/intake/http/refusals.ts';
const TOKEN = 'src/intake/http/token.ts';
const BODIES_TEST = ['test/intake/http/bodies.test.ts'];
const PROTOCOL_TEST = ['test/intake/http/protocol.test.ts'];

/** Guards of the HTTP edge: memory for bodies, refusals, and how they reach the sender. */
export const EDGE_MUTANTS: readonly Mutant[] = [
  {
    name: 'a body is not counted before it has arrived',
    file: BODY,
    find: '  reservation.growTo(length ?? (isChunked ? Math.min(FIRST_BYTES, limit) : 0));\n',
    replace: '',
    tests: BODIES_TEST,
  },
  {
    name: 'a chunked body is not counted while it grows',
    file: BODY,
    find: '          reservation.growTo(capacity);\n',
    replace: '',
    tests: BODIES_TEST,
  },
  {
    name: 'reserved bytes are never released',
    file: BODY,
    find: '      this.#held -= reservation.bytes;\n',
    replace: '',
    tests: BODIES_TEST,
  },
  {
    name: 'a sender that disconnects while its token is verified keeps its bytes reserved',
    file: BODY,
    find: '  if (request.destroyed) throw brokenOff();\n',
    replace: '',
    tests: BODIES_TEST,
  },
  {
    name: 'a request refused during its upload is reset',
    file: REFUSAL,
    find: '    discardRest(raw);\n',
    replace: '    raw.socket.destroySoon();\n',
    tests: BODIES_TEST,
  },
  {
    name: 'a connection is never closed',
    file: CONNECTIONS,
    find: 'return connection.requests >= connection.most || now >= connection.until;',
    replace: 'return false;',
    tests: ['test/intake/http/connections.test.ts'],
  },
  {
    name: 'a connection with few requests is never closed',
    file: CONNECTIONS,
    find: ' || now >= connection.until;',
    replace: ';',
    tests: ['test/intake/http/connections.test.ts'],
  },
  {
    name: 'connections are closed at the same time',
    file: CONNECTIONS,
    find: 'return (1 + Math.random()) / 2;',
    replace: 'return 1;',
    tests: ['test/intake/http/connections.test.ts'],
  },
  {
    name: 'a refusal replaces an earlier answer',
    file: PROTOCOL,
    find: '} else if (latest === undefined || latest.writableFinished) {',
    replace: '} else {',
    tests: PROTOCOL_TEST,
  },
  {
    name: 'a refused request gets a second answer',
    file: PROTOCOL,
    find: '      if (latest.headersSent) return void socket.destroy();\n',
    replace: '',
    tests: PROTOCOL_TEST,
  },
  {
    name: 'a connection that never sent a byte counts as refused',
    file: PROTOCOL,
    find: ' && socket.bytesRead === 0;',
    replace: ' && false;',
    tests: PROTOCOL_TEST,
  },
  {
    name: 'a sender that waits for 100 Continue keeps its connection after a refusal',
    file: 'src/intake/http/app.ts',
    find: ' || raw.headers.expect !== undefined) {',
    replace: ') {',
    tests: PROTOCOL_TEST,
  },
  {
    name: 'answers lost by a reset are not counted',
    file: REFUSAL,
    find: '(raw.complete || !endsFirst(raw.socket))',
    replace: 'true',
    tests: PROTOCOL_TEST,
  },
  {
    name: 'a signature that fails with cached keys is final',
    file: TOKEN,
    find: 'if (error instanceof errors.JWSSignatureVerificationFailed) return issuer.confirm();',
    replace: '',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'keys fetched for a token do not make its rejection final',
    file: TOKEN,
    find: 'if (issuer.answers > answers) throw error;',
    replace: '',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'tokens with bad signatures query the issuer without limit',
    file: 'src/intake/http/issuer.ts',
    find: 'if (this.#since(this.#confirmedAt) < this.#cooldownMs) return this.refresh();',
    replace: '',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'a parked event keeps attributes that no dead letter can carry',
    file: 'src/state/ingest/parking.ts',
    find: '  if (bytes <= max) return value;\n',
    replace: '  if (bytes > 0) return value;\n',
    tests: ['test/state/ingest/parking.test.ts'],
  },
  {
    name: 'an answer that is not declared is sent',
    file: 'src/console/serializer.ts',
    find: 'if (declared.Check(answer)) return',
    replace: 'if (declared !== null) return',
    tests: ['test/console/openapi.test.ts'],
  },
  {
    name: 'an error becomes 304',
    file: 'src/console/conditional.ts',
    find: 'reply.statusCode !== 200 ||',
    replace: '',
    tests: ['test/console/app.test.ts'],
  },
  {
    name: 'pull: a plain record is not an event',
    file: 'src/intake/cloudevents/kafka-record.ts',
    find: "if (attributes['specversion'] === undefined) {",
    replace: 'if (false) {',
    tests: ['test/intake/cloudevents/kafka-record.test.ts'],
  },
  {
    name: 'migrations may have any names',
    file: 'src/state/schema/migrate.ts',
    find: 'if (MIGRATION_FILE.test(file)) continue;',
    replace: 'if (file !== MIGRATION_FILE.source) continue;',
    tests: ['test/state/schema/migrate.test.ts'],
  },
];
