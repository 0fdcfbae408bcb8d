import fc from 'fast-check';
import { expect } from 'vitest';
import { insert } from '../messages.ts';
import { Recorder, test } from '../server.ts';

/** A header's value as Node lets it pass: what is left of a record's header or key in latin1. */
const headerValue = fc.string({
  unit: fc
    .integer({ min: 0x20, max: 0xff })
    .filter((code) => code !== 0x7f)
    .map((code) => String.fromCharCode(code)),
});

const contentType = fc.oneof(
  headerValue,
  fc.constantFrom(
    'application/json; charset=',
    'application/cloudevents',
    'application/cloudevents+json',
    'application/cloudevents+json; charset="utf-8"',
    'application/cloudevents-batch+json',
    'application/cloudevents+avro',
    'multipart/form-data; boundary=x',
  ),
);

const body = fc.oneof(
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.json().map((text) => Buffer.from(text)),
  fc.jsonValue().map((data) => Buffer.from(JSON.stringify({ ...insert, after: data }))),
  fc
    .record({
      specversion: fc.constantFrom('1.0', '0.3'),
      id: fc.string(),
      source: fc.string(),
      type: fc.string(),
      time: fc.string(),
      data_base64: fc.base64String(),
    })
    .map((event) => Buffer.from(JSON.stringify(event))),
);

test('every request of a KafkaSource is answered 2xx, because it drops what is refused', async ({
  serve,
}) => {
  const { app } = await serve(new Recorder());
  await app.ready();
  await fc.assert(
    fc.asyncProperty(
      body,
      fc.option(contentType),
      fc.constantFrom('dev.knative.kafka.event', 'com.example.order', ''),
      headerValue,
      fc.constantFrom('', 'gzip', 'snappy', 'br, zstd'),
      async (payload, type, ceType, value, encoding) => {
        const { statusCode } = await app.inject({
          method: 'POST',
          url: '/',
          headers: {
            'ce-specversion': '1.0',
            'ce-id': 'partition:0/offset:1',
            'ce-source': '/s',
            'ce-type': ceType,
            'ce-subject': value,
            'ce-time': value,
            'ce-key': value,
            'ce-knativekafkapartition': '0',
            'ce-knativekafkaoffset': '1',
            'content-encoding': encoding,
            ...(type !== null && { 'content-type': type }),
          },
          payload,
        });
        expect([200, 202, 204]).toContain(statusCode);
      },
    ),
    { numRuns: 1_000 },
  );
});
