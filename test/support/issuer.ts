import type { webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT, type JWK, type JWTPayload } from 'jose';
import { onTestFinished } from 'vitest';
import { authority } from './certificates.ts';

/** A real token issuer, like the API server of a cluster: HTTPS with a certificate of its own authority. */
export interface TestIssuer {
  readonly url: string;
  readonly caFile: string;
  /** The public keys that it serves. */
  readonly told: JWK[];
  /** The requested paths, with the presented tokens. */
  readonly asked: string[];
  /** The status of its answers; 200 by default. */
  status: number;
  /** Changes to its discovery document. */
  document: Record<string, unknown>;
  /** Creates a key that it signs with from now on; it serves the key only once it is in `told`. */
  newKey(kid: string, alg?: string): Promise<JWK>;
  /** Returns a token signed with its newest key. */
  sign(claims?: JWTPayload, header?: Record<string, unknown>): Promise<string>;
  /** Stops accepting connections until `start`. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export const AUDIENCE = 'muster';
export const SUBJECT = 'system:serviceaccount:shop:kafka-source';

export async function startIssuer(): Promise<TestIssuer> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-issuer-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const caFile = join(folder, 'ca.crt');
  const ca = authority('cluster');
  writeFileSync(caFile, ca.cert);
  const listening = () =>
    createServer(ca.issue('issuer', '127.0.0.1'), (request, response) => {
      issuer.asked.push(`${request.url} ${request.headers.authorization ?? ''}`.trim());
      const document =
        request.url === '/keys' ? { keys: issuer.told } : (issuer.document as unknown);
      response.writeHead(issuer.status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(document));
    });
  let server = listening();
  let port = 0;
  const start = async () => {
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    ({ port } = server.address() as AddressInfo);
  };
  const stop = () =>
    new Promise<void>((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
      server = listening();
    });
  await start();
  onTestFinished(stop);
  let signing: { key: webcrypto.CryptoKey; kid: string; alg: string };
  const url = `https://127.0.0.1:${port}`;
  const issuer: TestIssuer = {
    url,
    caFile,
    told: [],
    asked: [],
    status: 200,
    document: { issuer: url, jwks_uri: `${url}/keys` },
    async newKey(kid, alg = 'RS256') {
      const { publicKey, privateKey } = await generateKeyPair(alg);
      signing = { key: privateKey, kid, alg };
      return { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
    },
    sign(claims = {}, header = {}) {
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT({
        iss: url,
        aud: [AUDIENCE],
        sub: SUBJECT,
        iat: now,
        exp: now + 600,
        ...claims,
      })
        .setProtectedHeader({ alg: signing.alg, kid: signing.kid, ...header })
        .sign(signing.key);
    },
    stop,
    start,
  };
  issuer.told.push(await issuer.newKey('one'));
  return issuer;
}
