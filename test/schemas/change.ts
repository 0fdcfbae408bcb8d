import type { StoredSchema } from '../../src/schemas/registry.ts';
import { long, text } from './bytes.ts';

const record = (name: string, ...fields: [name: string, type: unknown][]) => ({
  type: 'record',
  name,
  fields: fields.map(([field, type]) => ({ name: field, type })),
});

/** Schema of a change of `public.item` with these columns, with the fields of Debezium's that are read. */
const changeOf = (...columns: [name: string, type: unknown][]): StoredSchema => ({
  schema: JSON.stringify(
    record(
      'Envelope',
      ['before', ['null', record('Value', ...columns)]],
      ['after', ['null', 'Value']],
      [
        'source',
        record(
          'Source',
          ['connector', 'string'],
          ['name', 'string'],
          ['schema', 'string'],
          ['table', 'string'],
          ['lsn', ['null', 'long']],
          ['ts_ms', 'long'],
        ),
      ],
      ['op', 'string'],
    ),
  ),
});

export const CHANGE_SCHEMA = changeOf(['id', 'long'], ['k', 'string']);
/** The same with a column `kind`, by which rows belong to parts. */
export const KIND_SCHEMA = changeOf(['id', 'long'], ['k', 'string'], ['kind', 'string']);

/** An insert in Avro: of the first schema, or with the further columns of another one. */
export function avroChange(id: bigint, k = 'x', ...more: string[]): Buffer {
  return Buffer.concat([
    long(0),
    long(1),
    long(id),
    ...[k, ...more].map(text),
    ...['postgresql', 'shop', 'public', 'item'].map(text),
    long(1),
    long(24023128),
    long(1767323045000),
    text('c'),
  ]);
}
