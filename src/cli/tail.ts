import { describePosition } from '../state/binlog-position.ts';
import { isChangeType } from '../intake/cloudevents/attributes.ts';
import { readChange } from '../intake/debezium/read-change.ts';
import { readRecord } from '../intake/cloudevents/kafka-record.ts';
import { lastHeaders } from '../kafka/headers.ts';
import { readTopic, type KafkaRecord } from '../kafka/read-topic.ts';
import type { JsonOption } from './print-result.ts';
import { kafkaAt } from './kafka.ts';

export interface TailOptions extends JsonOption {
  readonly brokers: string;
  readonly raw?: boolean;
  readonly fromBeginning?: boolean;
  readonly toEnd?: boolean;
}

/** The contents of a record: its fields as JSON, and as columns of a line. */
interface Shown {
  readonly json: object;
  readonly columns: readonly string[];
}

/** Prints the records of a topic as they arrive, until Ctrl-C. */
export async function run(topic: string, options: TailOptions): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  await readTopic(
    kafkaAt(options.brokers),
    topic,
    {
      fromBeginning: options.fromBeginning ?? false,
      toEnd: options.toEnd ?? false,
      signal: stop.signal,
    },
    async (record) => {
      const { json, columns } = options.raw ? raw(record) : change(record);
      const { partition } = record;
      const { offset } = record.message;
      process.stdout.write(
        options.json
          ? `${JSON.stringify({ partition, offset, ...json })}\n`
          : `${[`${partition}:${offset}`, ...columns].join('\t')}\n`,
      );
    },
  );
}

/** Shows a record as a console consumer does: key, value. */
function raw({ message }: KafkaRecord): Shown {
  const key = message.key?.toString() ?? null;
  const value = message.value?.toString() ?? null;
  return { json: { key, value }, columns: [key ?? 'null', value ?? 'null'] };
}

/** Shows a record as Muster reads it. */
function change(record: KafkaRecord): Shown {
  const { topic, partition, message } = record;
  const { offset, value } = message;
  const headers = lastHeaders(message);
  const content = readRecord({ topic, partition, offset, value, headers });
  if (content.kind === 'batch') return nothing('a batch of events');
  if (content.kind === 'bad') return nothing('no event', content.element.why);
  if (!isChangeType(content.event.type)) return nothing('event', content.event.type);
  const reading = readChange(content.event);
  if (reading.kind === 'ignored') return nothing('ignored', reading.why);
  if (reading.kind === 'invalid') return nothing('invalid', reading.reason, reading.detail);
  const [op, table] =
    reading.kind === 'truncate' ? ['t', reading.table] : [reading.op, reading.stream];
  const lsn = reading.lsn === null ? null : String(reading.lsn);
  const time = new Date(reading.at).toISOString();
  if (reading.kind === 'truncate') {
    return {
      json: { op, table, lsn, at: time },
      columns: [op, table, describePosition(reading), time],
    };
  }
  const { row, snapshot } = reading;
  const place = lsn === null ? String(snapshot) : describePosition(reading);
  return {
    json: { op, table, lsn, snapshot, at: time, row },
    columns: [op, table, place, time, JSON.stringify(row)],
  };
}

/** Shows a record that changes nothing, with the reason. */
function nothing(outcome: string, ...why: string[]): Shown {
  return { json: { outcome, why: why.join(': ') }, columns: [outcome, ...why] };
}
