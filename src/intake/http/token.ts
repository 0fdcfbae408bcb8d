import type { IncomingMessage } from 'node:http';
import { decodeJwt, errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from 'jose';
import type { Issuer } from './issuer.ts';
import { HttpError } from '../http-error.ts';

export interface TokenOptions {
  readonly issuer: Issuer;
  readonly url: string;
  readonly audience: string;
  /** Null: any subject with a token of this issuer for this audience. */
  readonly subjects: readonly string[] | null;
}

/**
 * Signatures with a key pair. Not `none`, and no shared secrets: the issuer's public key could be used as the secret.
 */
const ALGORITHMS = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA'.split(' ');
/** Errors that prove the token invalid, rather than the issuer's keys unusable. */
const PROOFS = [
  errors.JOSEAlgNotAllowed,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JWTInvalid,
  errors.JWTClaimValidationFailed,
];
/** Tolerated difference between two clocks. */
const TOLERANCE_SECONDS = 30;
const MAX_CACHED = 1000;

/**
 * Tokens verifies senders by the bearer token that Knative sends if the sink has an audience (RFC 6750, RFC 7519). A
 * token that is proved invalid is refused for good with 401, one that can't be verified now with 503: a KafkaSource
 * drops the event on the one and retries on the other.
 */
export class Tokens {
  readonly #options: TokenOptions;
  /** Verified headers with the expiry of their tokens, epoch ms: a signature costs 56 µs, a lookup 1 µs. */
  readonly #verified = new Map<string, number>();

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  /** Resolves if the sender may post, otherwise rejects with {@link HttpError}. Null: it may, without waiting. */
  check(request: IncomingMessage): Promise<void> | null {
    const header = authorizationOf(request);
    const expiresAt = this.#verified.get(header);
    if (expiresAt !== undefined && Date.now() < expiresAt) return null;
    return this.#verify(header);
  }

  async #verify(header: string): Promise<void> {
    const { url, audience, subjects } = this.#options;
    const token = /^Bearer +([\w.~+/-]+=*)$/i.exec(header)?.[1];
    if (token === undefined) throw bad('there is no bearer token');
    let claims: JWTPayload;
    try {
      // A key of another issuer would never be found.
      if (decodeJwt(token).iss !== url) throw bad(`it is not of the issuer ${url}`);
      claims = await this.#claimsOf(token, {
        issuer: url,
        audience,
        algorithms: ALGORITHMS,
        requiredClaims: ['exp', 'sub'],
        clockTolerance: TOLERANCE_SECONDS,
      });
    } catch (error) {
      throw refusalOf(error);
    }
    if (subjects !== null && !subjects.includes(claims.sub!)) {
      throw bad(`its subject '${claims.sub}' may not post`);
    }
    this.#verified.delete(header);
    this.#verified.set(header, claims.exp! * 1000);
    if (this.#verified.size > MAX_CACHED) {
      this.#verified.delete(this.#verified.keys().next().value!);
    }
  }

  async #claimsOf(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    const { issuer } = this.#options;
    const verify = async () => verifyByAny(token, await keysOf(issuer), options);
    const { answers } = issuer;
    try {
      return await verify();
    } catch (error) {
      if (issuer.answers > answers) throw error; // verified with current keys
      const isNew = await this.#asksAgain(error);
      if (isNew === null) throw error;
      if (!isNew) throw unknownKey();
      this.#verified.clear(); // a new key may replace one that is no longer trusted
      return verify();
    }
  }

  /** Whether the issuer's keys were fetched again; null if keys can't resolve this error. */
  async #asksAgain(error: unknown): Promise<boolean | null> {
    const { issuer } = this.#options;
    if (error instanceof errors.JWKSNoMatchingKey) return issuer.refresh();
    // Possibly outdated keys prove nothing: a new key may have no name, or an old one's name.
    if (error instanceof errors.JWSSignatureVerificationFailed) return issuer.confirm();
    return null;
  }
}

/** Verifies a token that does not name its key with each key that it may be signed with. */
async function verifyByAny(
  token: string,
  keys: Awaited<ReturnType<Issuer['keys']>>,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, keys, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (reason) {
        if (!(reason instanceof errors.JWSSignatureVerificationFailed)) throw reason;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

async function keysOf(issuer: Issuer) {
  try {
    return await issuer.keys();
  } catch (error) {
    throw new HttpError(
      503,
      `the issuer of tokens does not publish its keys: ${(error as Error).message}`,
      'issuer-unavailable',
    );
  }
}

function authorizationOf(request: IncomingMessage): string {
  const { authorization } = request.headers;
  if (authorization === undefined) throw new HttpError(401, 'no bearer token', 'no-token');
  // Node keeps the first of two headers; another reader may keep the other.
  const { rawHeaders } = request;
  let seen = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === 13 && rawHeaders[i]!.toLowerCase() === 'authorization') seen++;
  }
  if (seen > 1) throw bad('there is more than one');
  return authorization;
}

/** A token that is proved invalid: no retry can help. */
function bad(why: string): HttpError {
  return new HttpError(401, `the token is refused: ${why}`, 'bad-token');
}

function unknownKey(): HttpError {
  return new HttpError(
    503,
    'the issuer has not published the key of this token yet',
    'unknown-key',
  );
}

/** The token itself is in none of these messages. */
function refusalOf(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof errors.JWKSNoMatchingKey) {
    // New keys are published with a delay (several API servers, a cache), so this does not prove a forgery.
    return unknownKey();
  }
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'nbf') {
    return new HttpError(503, 'the token is not valid yet', 'token-not-yet-valid');
  }
  if (error instanceof errors.JWTExpired) return bad('it has expired');
  if (PROOFS.some((proof) => error instanceof proof)) return bad((error as Error).message);
  return new HttpError(503, `the token can't be verified: ${(error as Error).message}`, 'internal');
}
