import type { Gtid } from '../change.ts';

/** The highest number of a transaction seen, by its domain and server. */
export type Gtids = ReadonlyMap<string, bigint>;

/** A source has a few servers, but a tag of MySQL's may be any word. */
const MAX_KEYS = 64;

export const keyOf = ({ domain, server }: Gtid): string => `${domain}/${server}`;

/** Returns whether a transaction, or a later one of its domain, was seen. */
export function wasSeen(gtids: Gtids, { domain, number }: Omit<Gtid, 'server'>): boolean {
  return [...gtids].some(([key, seen]) => key.startsWith(`${domain}/`) && number <= seen);
}

/** Returns whether a later transaction of the same domain was seen. */
export function isOvertaken(gtids: Gtids, { domain, number }: Gtid): boolean {
  return wasSeen(gtids, { domain, number: number + 1n });
}

/** Returns whether a transaction is behind all those seen of its domain. */
export function isNewTransaction(gtids: Gtids, gtid: Gtid): boolean {
  // what can't be noted would be new each time
  return (gtids.size < MAX_KEYS || gtids.has(keyOf(gtid))) && !wasSeen(gtids, gtid);
}

/** Returns whether none of those seen was committed by the same server. */
export function isOfNewServer(gtids: Gtids, { server }: Gtid): boolean {
  return ![...gtids.keys()].some((key) => key.endsWith(`/${server}`));
}

/** Notes that a transaction has been seen. Returns whether that changed anything. */
export function noteTransaction(gtids: Map<string, bigint>, gtid: Gtid): boolean {
  const key = keyOf(gtid);
  const newest = gtids.get(key);
  if (newest === undefined ? gtids.size >= MAX_KEYS : gtid.number <= newest) return false;
  gtids.set(key, gtid.number);
  return true;
}

/** As they are stored: the numbers are text, because they may be above 2^53. */
export type StoredGtids = Readonly<Record<string, string>>;

export function storedGtids(gtids: Gtids): StoredGtids {
  return Object.fromEntries([...gtids].map(([key, number]) => [key, String(number)]));
}

export function gtidsOf(stored: StoredGtids): Map<string, bigint> {
  return new Map(Object.entries(stored).map(([key, number]) => [key, BigInt(number)]));
}
