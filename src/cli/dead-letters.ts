import { attributesOf } from '../intake/cloudevents/kafka-record.ts';
import { lastHeaders } from '../kafka/headers.ts';
import { readTopic, type KafkaRecord } from '../kafka/read-topic.ts';
import { kafkaAt } from './kafka.ts';
import { post, redelivery, type Destination } from './post.ts';

/** Headers that a KafkaSource adds to an undeliverable event: they describe the attempt, not the event. */
const ABOUT_FAILURE = /^ce-(knativeerror(code|data|dest)|reason)$/;

/**
 * Posts the events of a dead-letter topic again, in order, and resumes where it stopped last time. Stops at
 * the first event that is not accepted, which stays in the topic with those after it.
 */
export async function redeliverDeadLetters(
  topic: string,
  brokers: string,
  to: Destination & { readonly skipUnwanted?: boolean },
): Promise<number> {
  let accepted = 0;
  const options = {
    group: `muster-redeliver-${topic}`,
    fromBeginning: true,
    toEnd: true,
    signal: new AbortController().signal,
  };
  await readTopic(kafkaAt(brokers), topic, options, async (record) => {
    const { headers, body } = toRequest(record);
    const { status, text, outcome } = await post(
      to,
      { ...withoutFailure(headers), ...redelivery([]) },
      body,
    );
    if (status >= 300) {
      throw new Error(
        `${placeOf(record)} was rejected (${status} ${text}) after ${accepted} were redelivered`,
      );
    }
    if (outcome === 'unwanted' && to.skipUnwanted !== true) {
      throw new Error(
        `${placeOf(record)} is of a table, or a type, that no function there uses; ${accepted} before it were redelivered. Is --to a worker of the function that the topic belongs to? If so, skip such events with --skip-unwanted`,
      );
    }
    if (status === 202) process.stdout.write(`${placeOf(record)}\t${status}\t${text}\n`);
    accepted++;
  });
  return accepted;
}

/**
 * Builds the request that a KafkaSource would send for a record: a CloudEvent in binary mode (Kafka protocol
 * binding 1.0.2: headers `ce_…`) or structured mode is unchanged, any other record becomes a
 * `dev.knative.kafka.event`.
 */
export function toRequest({ topic, partition, message }: KafkaRecord): {
  headers: Record<string, string>;
  body: Buffer;
} {
  const { offset } = message;
  const given = lastHeaders(message);
  const { attributes, contentType } = attributesOf({ topic, partition, offset, headers: given });
  const headers = Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value]),
  );
  if (contentType !== null) headers['content-type'] = contentType;
  if (given['traceparent'] !== undefined) headers['traceparent'] = String(given['traceparent']);
  return { headers, body: message.value ?? Buffer.alloc(0) };
}

function withoutFailure(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ABOUT_FAILURE.test(name)));
}

function placeOf({ topic, partition, message }: KafkaRecord): string {
  return `${topic} ${partition}:${message.offset}`;
}
