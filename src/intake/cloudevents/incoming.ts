import type { Origin } from '../../state/change.ts';
import { bringsChange, type Attributes } from './attributes.ts';

/** A message in batched mode whose elements have not been read. */
export interface Batch {
  readonly origin: Origin;
  /** Bytes of each element, up to one element more than the limit of a batch. */
  readonly texts: readonly Uint8Array[];
  readonly read: (text: Uint8Array) => CloudEvent | BadElement;
}

/** A CloudEvent 1.0: `attributes` holds id, source, type and specversion at least. */
export interface CloudEvent extends Origin {
  readonly type: string;
  /**
   * Data of structured and batched mode, in which numbers may be rounded. Undefined if the body is the data:
   * in binary mode, and for data that is not JSON.
   */
  readonly data: unknown;
  /** Why the data of structured or batched mode can't be read. */
  readonly dataProblem?: string;
  /** Attributes without the percent-encoding of headers; {@link attributes} if absent. */
  readonly decoded?: Attributes;
  /** No number in `data` is rounded. */
  readonly isExact?: boolean;
}

/** An event that can't be read as a CloudEvent and has to be parked. */
export interface BadElement {
  readonly origin: Origin;
  /** It is too large to read its attributes, so it may carry a change. */
  readonly isTooLarge?: boolean;
  readonly why: string;
}

export type Incoming =
  | { readonly kind: 'event'; readonly event: CloudEvent }
  | { readonly kind: 'batch'; readonly batch: Batch }
  | { readonly kind: 'bad'; readonly element: BadElement }
  /** Not a CloudEvent, and nothing indicates that it carries a change. */
  | { readonly kind: 'none'; readonly why: string };

/** Decides about an event that can't be read: it is parked if it should carry a change, and otherwise refused. */
export function unread(origin: Origin, why: string): Incoming {
  return bringsChange(origin.attributes)
    ? { kind: 'bad', element: { origin, why } }
    : { kind: 'none', why };
}
