import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createLocalJWKSet, type JSONWebKeySet } from 'jose';

export interface IssuerOptions {
  /** URL whose discovery document names the URL of its keys (OpenID Connect Discovery 1.0, 4). */
  readonly url: string;
  /** PEM file of the certificates that verify it; read for each request, because a cluster renews its certificates. */
  readonly caFile: string | null;
  /** File of the token to send: the API server of a cluster requires one. Read for each request. */
  readonly tokenFile: string | null;
  /** Minimum time between requests because of an unknown key or a signature that does not match. */
  readonly cooldownMs?: number;
  /** Keys are fetched again after this time, so that a withdrawn key does not stay trusted. */
  readonly maxAgeMs?: number;
}

type Keys = ReturnType<typeof createLocalJWKSet>;

const TIMEOUT_MS = 5_000;
/** Minimum time after a failed request. */
const REST_MS = 1_000;
const MAX_LENGTH = 1 << 20;

/** Issuer fetches and caches the public keys of a token issuer; an unknown key makes it fetch again. */
export class Issuer {
  readonly #options: IssuerOptions;
  #keys: Keys | null = null;
  #asking: Promise<void> | null = null;
  #askedAt = -Infinity;
  #failure: Error | null = null;
  #gotAt = -Infinity;
  #answers = 0;
  #confirmedAt = -Infinity;

  constructor(options: IssuerOptions) {
    this.#options = options;
  }

  /** Rejects if there are no keys and the issuer does not answer; old keys are used while it does not. */
  async keys(): Promise<Keys> {
    if (this.#keys === null) {
      if (this.#failure !== null && this.#since(this.#askedAt) < REST_MS) throw this.#failure;
      await this.#ask();
    } else if (this.#since(this.#gotAt) > (this.#options.maxAgeMs ?? 3_600_000)) {
      await this.refresh();
    }
    return this.#keys!;
  }

  /** Number of answers so far: a token that fails with the keys of a later answer has been checked with fresh keys. */
  get answers(): number {
    return this.#answers;
  }

  /** Fetches again; false if the issuer did not answer, or answered a moment ago. */
  async refresh(): Promise<boolean> {
    const moment = this.#since(this.#askedAt) < this.#cooldownMs;
    if (moment && this.#asking === null) return false;
    return this.#ask().then(
      () => true,
      () => false,
    );
  }

  /**
   * Fetches again before a token is refused for good: once in the cooldown, even if the keys are new; otherwise like
   * {@link refresh}.
   */
  async confirm(): Promise<boolean> {
    if (this.#since(this.#confirmedAt) < this.#cooldownMs) return this.refresh();
    this.#confirmedAt = performance.now();
    return this.#ask().then(
      () => true,
      () => false,
    );
  }

  get #cooldownMs(): number {
    return this.#options.cooldownMs ?? 10_000;
  }

  #since(time: number): number {
    return performance.now() - time;
  }

  /** One request at a time, shared by all callers. */
  #ask(): Promise<void> {
    this.#asking ??= this.#load()
      .then(
        () => void (this.#failure = null),
        (error: Error) => {
          this.#failure = error;
          throw error;
        },
      )
      .finally(() => (this.#asking = null));
    return this.#asking;
  }

  async #load(): Promise<void> {
    this.#askedAt = performance.now();
    const { url } = this.#options;
    const found = await this.#get(`${url.replace(/\/$/, '')}/.well-known/openid-configuration`);
    const { issuer, jwks_uri: uri } = found as { issuer?: unknown; jwks_uri?: unknown };
    if (issuer !== url) throw new Error(`${url} names the issuer ${String(issuer)}`);
    if (typeof uri !== 'string' || !URL.canParse(uri) || new URL(uri).protocol !== 'https:') {
      throw new Error(`the discovery document of ${url} has no https jwks_uri`);
    }
    this.#keys = createLocalJWKSet((await this.#get(uri)) as JSONWebKeySet);
    this.#gotAt = performance.now();
    this.#answers++;
  }

  /** Fetches a JSON document; not with `fetch`, which accepts no certificate. */
  async #get(url: string): Promise<unknown> {
    const { caFile, tokenFile } = this.#options;
    const ca = caFile === null ? undefined : await readFile(caFile);
    const token = tokenFile === null ? null : (await readFile(tokenFile, 'utf8')).trim();
    const headers = {
      accept: 'application/json, application/jwk-set+json',
      ...(token !== null && { authorization: `Bearer ${token}` }),
    };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const { status, body } = await new Promise<{ status: number | undefined; body: string }>(
      (resolve, reject) => {
        const asked = request(url, { ca, headers, signal, agent: false }, (response) => {
          let read = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            read += chunk;
            if (read.length > MAX_LENGTH) asked.destroy(new Error(`${url} sends too much`));
          });
          response.once('error', reject);
          response.once('end', () => resolve({ status: response.statusCode, body: read }));
        });
        asked.once('error', reject).end();
      },
    );
    if (status !== 200) throw new Error(`${url} answered ${status}`);
    return JSON.parse(body);
  }
}
