import type { Row, RowChange, TruncateChange } from '../../src/state/change.ts';

const origin = {
  attributes: { source: '/test', id: '1' },
  contentType: null,
  body: new Uint8Array(),
};
const now = Date.now();

/** A streamed change of `public.item`; its time advances with its position. */
export function change(
  op: 'c' | 'u' | 'd',
  lsn: number,
  row: Row,
  more: Partial<RowChange> = {},
): RowChange {
  return {
    kind: 'row',
    op,
    source: 'test',
    stream: 'public.item',
    lsn: BigInt(lsn),
    at: now + lsn,
    handledAt: more.at ?? now + lsn,
    lastCommit: null,
    snapshot: null,
    row,
    origin: { ...origin, body: Buffer.from(JSON.stringify({ op, lsn, row })) },
    ...more,
  };
}

/** A row read by a snapshot, `at` milliseconds after the first streamed change. */
export function read(at: number, row: Row, more: Partial<RowChange> = {}): RowChange {
  return {
    ...change('u', 1, row),
    op: 'r',
    lsn: null,
    at: now + at,
    handledAt: now + at,
    snapshot: 'initial',
    ...more,
  };
}

export function truncate(lsn: number, more: Partial<TruncateChange> = {}): TruncateChange {
  return {
    kind: 'truncate',
    source: 'test',
    table: 'public.item',
    lsn: BigInt(lsn),
    at: now + lsn,
    handledAt: more.at ?? now + lsn,
    lastCommit: null,
    origin,
    ...more,
  };
}
