import { readFile } from 'node:fs/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps, type RequestOptions } from 'node:https';
import { errorText } from '../lib/error-text.ts';

export interface RegistryOptions {
  /** URL below which the API of Confluent's registry is served. */
  readonly url: string;
  readonly username: string | null;
  readonly password: string | null;
  /** File of a bearer token. Read for each request, as the CA is: both are renewed in files. */
  readonly tokenFile: string | null;
  /** PEM file of the certificates that verify the registry. */
  readonly caFile: string | null;
  /** Timeout of a request; 5 s unless given. */
  readonly timeoutMs?: number;
}

/** A schema as the registry stores it. */
export interface StoredSchema {
  readonly schema: string;
  /** `AVRO` unless given. */
  readonly schemaType?: string;
  readonly references?: readonly StoredReference[];
}

export interface StoredReference {
  readonly name: string;
  readonly subject: string;
  readonly version: number;
}

/** The registry does not answer, or not as it should: another attempt may succeed. */
export class RegistryUnavailable extends Error {
  override readonly name = 'RegistryUnavailable';
  /** Status of its answer; null if there is none. */
  readonly status: number | null;

  constructor(message: string, status: number | null, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

const TIMEOUT_MS = 5_000;
/** Real schemas have up to some hundred KiB. */
const MAX_LENGTH = 8 << 20;
/** The API's codes for a missing subject, version and schema: a 404 without one is of another server. */
const MISSING: readonly unknown[] = [40_401, 40_402, 40_403];

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Registry asks a schema registry through the REST API of Confluent's, which others serve, too. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #base: string;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#base = options.url.replace(/\/+$/, '');
  }

  /** Returns the schema with this id, or null if there is none. Throws {@link RegistryUnavailable}. */
  async schema(id: number): Promise<StoredSchema | null> {
    const path = `/schemas/ids/${id}`;
    return this.#stored(path, await this.#get(path));
  }

  /** Returns a schema that another one refers to, or null if there is none. Throws {@link RegistryUnavailable}. */
  async referenced({ subject, version }: StoredReference): Promise<StoredSchema | null> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions/${version}`;
    return this.#stored(path, await this.#get(path));
  }

  /** Returns the types of schemas that it stores. Throws {@link RegistryUnavailable}. */
  async types(): Promise<string[]> {
    const path = '/schemas/types';
    const types = this.#json(path, await this.#get(path));
    if (!Array.isArray(types)) throw this.#unavailable(path, 'answered no list of types', 200);
    return types.map(String);
  }

  #stored(path: string, answer: Answer): StoredSchema | null {
    if (answer.status === 404 && MISSING.includes(codeOf(answer.text))) return null;
    const stored = this.#json(path, answer) as Partial<StoredSchema> | null;
    if (typeof stored?.schema === 'string') return stored as StoredSchema;
    throw this.#unavailable(path, 'answered no schema', answer.status);
  }

  #json(path: string, { status, text }: Answer): unknown {
    if (status !== 200) {
      throw this.#unavailable(path, `answered ${status}${hintFor(status)}`, status);
    }
    try {
      return JSON.parse(text);
    } catch (error) {
      throw this.#unavailable(path, 'did not answer in JSON', status, error);
    }
  }

  /** Not with `fetch`, which accepts no certificate. */
  async #get(path: string): Promise<Answer> {
    const url = `${this.#base}${path}`;
    const request = url.startsWith('https:') ? requestHttps : requestHttp;
    try {
      const options = await this.#requestOptions();
      return await new Promise<Answer>((resolve, reject) => {
        const asked = request(url, options, (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
            if (text.length > MAX_LENGTH) asked.destroy(new Error('the answer is too long'));
          });
          response.once('error', reject);
          response.once('end', () => resolve({ status: response.statusCode!, text }));
        });
        asked.once('error', reject).end();
      });
    } catch (error) {
      const isLate = error instanceof Error && /^(?:Abort|Timeout)Error$/.test(error.name);
      const why = isLate ? `no answer within ${this.#timeoutMs / 1000} s` : errorText(error);
      throw this.#unavailable(path, `does not answer: ${why}`, null, error);
    }
  }

  async #requestOptions(): Promise<RequestOptions> {
    const { username, password, tokenFile, caFile } = this.#options;
    const ca = caFile === null ? undefined : await readFile(caFile);
    const token = tokenFile === null ? null : (await readFile(tokenFile, 'utf8')).trim();
    const login = Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64');
    const headers = {
      accept: 'application/vnd.schemaregistry.v1+json, application/json',
      ...(username !== null && { authorization: `Basic ${login}` }),
      ...(token !== null && { authorization: `Bearer ${token}` }),
    };
    return {
      ...(ca && { ca }),
      headers,
      signal: AbortSignal.timeout(this.#timeoutMs),
      agent: false,
    };
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? TIMEOUT_MS;
  }

  #unavailable(path: string, why: string, status: number | null, cause?: unknown): Error {
    const message = `the schema registry ${this.#base} ${why} (${path})`;
    return new RegistryUnavailable(message, status, { cause });
  }
}

function codeOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { error_code?: unknown } | null)?.error_code;
  } catch {
    return undefined;
  }
}

function hintFor(status: number): string {
  if (status === 401 || status === 403) {
    return ': check SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD, or SCHEMA_REGISTRY_TOKEN_FILE';
  }
  const isElsewhere = status === 404 || (status >= 300 && status < 400);
  return isElsewhere
    ? ": check the path of SCHEMA_REGISTRY_URL, which is /apis/ccompat/v7 in Apicurio's"
    : '';
}
