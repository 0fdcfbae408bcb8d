import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readCloudEvents } from '../../src/intake/cloudevents/cloudevent.ts';
import { readChange } from '../../src/intake/debezium/read-change.ts';
import { flattened, insert, kafkaEvent } from './messages.ts';

const kinds = ['row', 'truncate', 'ignored', 'invalid'];

test('an event of any bytes is read', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), fc.json()), (value) => {
      expect(kinds).toContain(readChange(kafkaEvent(Buffer.from(value))).kind);
    }),
  );
});

test('a message with any value in place of a field is read', () => {
  const messages = [
    insert,
    flattened,
    { specversion: '1.0', type: 'io.debezium.x', iodebeziumop: 'c', data: insert },
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...messages),
      fc.nat(40),
      fc.jsonValue(),
      (message, place, value) => {
        const text = JSON.stringify(message);
        const fields = [...text.matchAll(/:("[^"]*"|[\d.]+|null)/g)];
        const field = fields[place % fields.length]!;
        const changed = `${text.slice(0, field.index)}:${JSON.stringify(value)}${text.slice(field.index + field[0].length)}`;
        expect(kinds).toContain(readChange(kafkaEvent(changed)).kind);
      },
    ),
  );
});

// A JSON object in JavaScript has no own column of this name: it is left out on the way in.
const columnName = fc.string().filter((name) => name !== '__proto__');

test('a row is written as it was read, for any value of a column', () => {
  fc.assert(
    fc.property(
      fc.dictionary(columnName, fc.oneof(fc.bigInt(), fc.integer(), fc.boolean())),
      (columns) => {
        const fields = Object.entries(columns).map(
          ([name, value]) => `${JSON.stringify(name)}:${value}`,
        );
        const after = `{${fields.join(',')}}`;
        const reading = readChange(
          kafkaEvent(JSON.stringify(insert).replace(/"after":\{.*?\}/, () => `"after":${after}`)),
        );
        const written = JSON.stringify(reading.kind === 'row' && reading.row);
        expect(sorted(written)).toEqual(sorted(after));
      },
    ),
  );
});

test('any structured event is read', () => {
  const headers = { 'content-type': 'application/cloudevents+json' };
  fc.assert(
    fc.property(fc.json(), fc.boolean(), (text, batch) => {
      const body = Buffer.from(batch ? `[${text}]` : text);
      if (batch) headers['content-type'] = 'application/cloudevents-batch+json';
      expect(['event', 'batch', 'none']).toContain(readCloudEvents(headers, body).kind);
    }),
  );
});

/** Columns as text: names like "0" come first in an object. */
function sorted(text: string): string[] {
  return text.slice(1, -1).split(',').toSorted();
}
