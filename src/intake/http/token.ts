import type { IncomingMessage } from 'node:http';
import { decodeJwt, errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from 'jose';
import type { Issuer } from './issuer.ts';
import { HttpError } from '../http-error.ts';

export interface TokenOptions {
  readonly issuer: Issuer;
  readonly url: string;
  readonly audience: string;
  /** Null: whoever has a token of this issuer for this audience. */
  readonly subjects: readonly string[] | null;
}

/** Signatures by a key pair. Never `none`, never a shared secret: the issuer's public key would be one. */
const ALGORITHMS = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA'.split(' ');
/** What says that the token is wrong, and not that the issuer's keys are of no use. */
const PROOFS = [
  errors.JOSEAlgNotAllowed,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JWTInvalid,
  errors.JWTClaimValidationFailed,
];
/** Two clocks may differ by so much. */
const TOLERANCE_SECONDS = 30;
const MAX_CACHED = 1000;

/**
 * Decides who may post: the bearer token that Knative sends where the sink has an audience (RFC 6750,
 * RFC 7519). What is proved bad is refused for good, by 401; what can't be verified now, by 503: a
 * KafkaSource loses the event on the one and tries again on the other.
 */
export class Tokens {
  readonly #options: TokenOptions;
  /** Verified headers with the time their tokens expire, epoch ms: a signature costs 56 µs, a look here one. */
  readonly #verified = new Map<string, number>();

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  /** Resolves if the sender may post; else rejects with {@link Refused}. Null: it may, without waiting. */
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
      // another issuer's key would only be looked for in vain
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
      if (issuer.answers > answers) throw error; // by keys of this moment
      const isNew = await this.#asksAgain(error);
      if (isNew === null) throw error;
      if (!isNew) throw unknownKey();
      this.#verified.clear(); // a key that is new may stand for one that is not trusted any more
      return verify();
    }
  }

  /** Whether the issuer told its keys again; null if they can't put this error right. */
  async #asksAgain(error: unknown): Promise<boolean | null> {
    const { issuer } = this.#options;
    if (error instanceof errors.JWKSNoMatchingKey) return issuer.refresh();
    // By keys that may be old this proves nothing: a new key need have no name, or no new one.
    if (error instanceof errors.JWSSignatureVerificationFailed) return issuer.confirm();
    return null;
  }
}

/** A token that does not name its key is tried with each that may be it. */
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
      `the issuer of tokens does not tell its keys: ${(error as Error).message}`,
      'issuer-unavailable',
    );
  }
}

function authorizationOf(request: IncomingMessage): string {
  const { authorization } = request.headers;
  if (authorization === undefined) throw new HttpError(401, 'no bearer token', 'no-token');
  // Node keeps the first of two; who else looks at them may keep the other
  const { rawHeaders } = request;
  let seen = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === 13 && rawHeaders[i]!.toLowerCase() === 'authorization') seen++;
  }
  if (seen > 1) throw bad('there is more than one');
  return authorization;
}

/** Proved bad: no retry can help. */
function bad(why: string): HttpError {
  return new HttpError(401, `the token is refused: ${why}`, 'bad-token');
}

function unknownKey(): HttpError {
  return new HttpError(503, 'the issuer does not tell the key of this token yet', 'unknown-key');
}

/** The token itself is in none of these messages. */
function refusalOf(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof errors.JWKSNoMatchingKey) {
    // New keys are told with a delay (several API servers, a cache between): no proof that it is forged.
    return unknownKey();
  }
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'nbf') {
    return new HttpError(503, 'the token is not valid yet', 'token-not-yet-valid');
  }
  if (error instanceof errors.JWTExpired) return bad('it has expired');
  if (PROOFS.some((proof) => error instanceof proof)) return bad((error as Error).message);
  return new HttpError(503, `the token can't be verified: ${(error as Error).message}`, 'internal');
}
