import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createLocalJWKSet, type JSONWebKeySet } from 'jose';

export interface IssuerOptions {
  /** URL whose discovery document names where its keys are (OpenID Connect Discovery 1.0, 4). */
  readonly url: string;
  /** PEM file of the certificates it is verified with; read each time, because a cluster renews its own. */
  readonly caFile: string | null;
  /** Token that is shown to it: the API server of a cluster tells its keys to those it knows. Read each time. */
  readonly tokenFile: string | null;
  /** An unknown key or a signature that does not fit makes it ask again, at most this often. */
  readonly cooldownMs?: number;
  /** Keys are asked for again after this time: one that was withdrawn is not trusted for ever. */
  readonly maxAgeMs?: number;
}

type Keys = ReturnType<typeof createLocalJWKSet>;

const TIMEOUT_MS = 5_000;
/** One that did not answer is left alone for so long. */
const REST_MS = 1_000;
const MAX_LENGTH = 1 << 20;

/** The keys that an issuer signs with, kept until one is asked for that is not among them. */
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

  /** Rejects if there are none and the issuer does not tell them. Old ones are better than none. */
  async keys(): Promise<Keys> {
    if (this.#keys === null) {
      if (this.#failure !== null && this.#since(this.#askedAt) < REST_MS) throw this.#failure;
      await this.#ask();
    } else if (this.#since(this.#gotAt) > (this.#options.maxAgeMs ?? 3_600_000)) {
      await this.refresh();
    }
    return this.#keys!;
  }

  /** How often it has told its keys: what failed with keys of a later answer is proved by fresh ones. */
  get answers(): number {
    return this.#answers;
  }

  /** Asks again; false if it did not answer, or was asked a moment ago. */
  async refresh(): Promise<boolean> {
    const moment = this.#since(this.#askedAt) < this.#cooldownMs;
    if (moment && this.#asking === null) return false;
    return this.#ask().then(
      () => true,
      () => false,
    );
  }

  /**
   * Asks again before a token is refused for good: once in the cooldown, however recently the keys came;
   * else as {@link refresh}.
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

  /** One question at a time, for all who wait. */
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
    if (issuer !== url) throw new Error(`${url} says that it is ${String(issuer)}`);
    if (typeof uri !== 'string' || !URL.canParse(uri) || new URL(uri).protocol !== 'https:') {
      throw new Error(`${url} names no https URL of its keys`);
    }
    this.#keys = createLocalJWKSet((await this.#get(uri)) as JSONWebKeySet);
    this.#gotAt = performance.now();
    this.#answers++;
  }

  /** A JSON document. Not by `fetch`, which can't be given a certificate. */
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
