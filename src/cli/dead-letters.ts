import { readTopic, toRequest, type KafkaRecord } from '../kafka/read-topic.ts';
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
      { ...sendable(headers), ...redelivery([]) },
      body,
    );
    if (status >= 300) {
      throw new Error(
        `${placeOf(record)} was rejected (${status} ${text}) after ${accepted} were redelivered`,
      );
    }
    if (outcome === 'unwanted' && to.skipUnwanted !== true) {
      throw new Error(
        `${placeOf(record)} is of a table that no function there uses; ${accepted} before it were redelivered. Is --to a worker of the function that the topic belongs to? If so, skip such events with --skip-unwanted`,
      );
    }
    if (status === 202) process.stdout.write(`${placeOf(record)}\t${status}\t${text}\n`);
    accepted++;
  });
  return accepted;
}

function sendable(headers: ReturnType<typeof toRequest>['headers']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      (entry): entry is [string, string] =>
        typeof entry[1] === 'string' && !ABOUT_FAILURE.test(entry[0]),
    ),
  );
}

function placeOf({ topic, partition, message }: KafkaRecord): string {
  return `${topic} ${partition}:${message.offset}`;
}
