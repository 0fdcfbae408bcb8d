import type { StoredSchema } from '../../src/schemas/registry.ts';
import { long, text } from './bytes.ts';

const record = (name: string, ...fields: [name: string, type: unknown][]) => ({
  type: 'record',
  name,
  fields: fields.map(([field, type]) => ({ name: field, type })),
});

/** Schema of a change of `public.item`, with the fields of Debezium's that are read. */
export const CHANGE_SCHEMA: StoredSchema = {
  schema: JSON.stringify(
    record(
      'Envelope',
      ['before', ['null', record('Value', ['id', 'long'], ['k', 'string'])]],
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
};

/** An insert of that schema, in Avro. */
export function avroChange(id: bigint, k = 'x'): Buffer {
  return Buffer.concat([
    long(0),
    long(1),
    long(id),
    text(k),
    ...['postgresql', 'shop', 'public', 'item'].map(text),
    long(1),
    long(24023128),
    long(1767323045000),
    text('c'),
  ]);
}
