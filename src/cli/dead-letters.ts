import { readTopic, toRequest, type KafkaRecord } from '../kafka/read-topic.ts';
import { kafkaAt } from './kafka.ts';
import { post, redelivery, type Destination } from './post.ts';

/** What a KafkaSource adds to an event it could not deliver: about that attempt, not about the event. */
const ABOUT_FAILURE = /^ce-(knativeerror(code|data|dest)|reason)$/;

/**
 * Posts the events of a dead-letter topic again, each once it is its turn, and goes on where it left
 * off next time. Stops at the first that is not taken: it, and what comes after it, stays.
 */
export async function redeliverDeadLetters(
  topic: string,
  brokers: string,
  to: Destination & { readonly skipUnwanted?: boolean },
): Promise<number> {
  let taken = 0;
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
        `${placeOf(record)} was refused (${status} ${text}); ${taken} before it were taken`,
      );
    }
    if (outcome === 'unwanted' && to.skipUnwanted !== true) {
      throw new Error(
        `${placeOf(record)} is of a table that no function there wants; ${taken} before it were taken. Is --to a worker of the function that the topic belongs to? If so, pass such events over with --skip-unwanted`,
      );
    }
    if (status === 202) process.stdout.write(`${placeOf(record)}\t${status}\t${text}\n`);
    taken++;
  });
  return taken;
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
