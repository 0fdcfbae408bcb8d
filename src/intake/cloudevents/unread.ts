import type { Origin } from '../../state/change.ts';
import { bringsChange } from './attributes.ts';
import type { Incoming } from './incoming.ts';

/** What becomes of an event that can't be read: it is parked if it came to bring a change, and else refused. */
export function unread(origin: Origin, why: string): Incoming {
  return bringsChange(origin.attributes)
    ? { kind: 'bad', element: { origin, why } }
    : { kind: 'none', why };
}
