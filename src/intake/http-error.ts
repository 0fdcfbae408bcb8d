/** Counts a result of intake; labels have low cardinality, as a metric needs, except types, which the metric bounds. */
export type Count = (
  name: 'events' | 'ignored' | 'parked' | 'refused' | 'unwantedTypes' | 'unwantedTables',
  labels: Readonly<Record<string, string>>,
) => void;

/** All values of `kne-reason`, which are also the values of the metric's label. */
export const REFUSAL_REASONS = [
  'bad-request',
  'bad-token',
  'broken-off',
  'misdirected',
  'database',
  'draining',
  'expectation-failed',
  'headers-too-large',
  'internal',
  'issuer-unavailable',
  'length-required',
  'method-not-allowed',
  'no-token',
  'not-a-cloudevent',
  'not-found',
  'overload',
  'schema-registry',
  'superseded',
  'timeout',
  'token-not-yet-valid',
  'too-large',
  'unknown-key',
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** Reasons for the statuses that Fastify and Node's parser produce. */
const REASONS: Readonly<Record<number, RefusalReason>> = {
  400: 'bad-request',
  404: 'not-found',
  405: 'method-not-allowed',
  408: 'timeout',
  411: 'length-required',
  413: 'too-large',
  417: 'expectation-failed',
  431: 'headers-too-large',
};

/** A request that is not answered 2xx; the message is human-readable. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  /** Value of the header `kne-reason`, which KafkaSource copies to the dead letter as extension `reason`. */
  readonly reason: RefusalReason;

  constructor(
    status: number,
    message: string,
    reason: RefusalReason = REASONS[status] ?? 'bad-request',
  ) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}
