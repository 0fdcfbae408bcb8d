import type { Origin } from '../../state/change.ts';

/** A request in batched mode whose elements are not read yet. */
export interface Batch {
  readonly origin: Origin;
  /** The bytes of the elements, at most one more than a batch may have. */
  readonly texts: readonly Uint8Array[];
  readonly read: (text: Uint8Array) => CloudEvent | BadElement;
}

/** A CloudEvent 1.0: `attributes` holds id, source, type and specversion at least. */
export interface CloudEvent extends Origin {
  readonly type: string;
  /**
   * The data of structured and batched mode, in which numbers may be rounded; undefined where it is the
   * body: in binary mode, and for data that is no JSON value.
   */
  readonly data: unknown;
}

/** An event that can't be read as a CloudEvent, and is to be parked. */
export interface BadElement {
  readonly origin: Origin;
  /** It is too large for its attributes to be read: it may have come to bring a change. */
  readonly isTooLarge?: boolean;
  readonly why: string;
}

export type Incoming =
  | { readonly kind: 'event'; readonly event: CloudEvent }
  | { readonly kind: 'batch'; readonly batch: Batch }
  | { readonly kind: 'bad'; readonly element: BadElement }
  /** No CloudEvent, and nothing says that it was meant to bring a change. */
  | { readonly kind: 'none'; readonly why: string };
