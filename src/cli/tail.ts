import { readChange } from '../intake/debezium.ts';
import { readCloudEvents } from '../intake/cloudevent.ts';
import { readTopic, toRequest, type KafkaRecord } from '../intake/topic.ts';
import { kafkaAt } from './kafka.ts';
import type { TailOptions } from './muster.ts';

/** Prints what is in a topic as it comes, until Ctrl-C. */
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
      process.stdout.write(`${options.raw ? rawLine(record) : changeLine(record)}\n`);
    },
  );
}

/** As a console consumer shows it: place, key, value. */
function rawLine({ partition, message }: KafkaRecord): string {
  return [
    `${partition}:${message.offset}`,
    message.key?.toString() ?? 'null',
    message.value?.toString() ?? 'null',
  ].join('\t');
}

/** As Muster understands it. */
function changeLine(record: KafkaRecord): string {
  const place = `${record.partition}:${record.message.offset}`;
  const { headers, body } = toRequest(record);
  const incoming = readCloudEvents(headers, body);
  if (incoming.kind === 'batch') return [place, 'a batch of events'].join('\t');
  if (incoming.kind === 'bad') return [place, 'no event', incoming.element.why].join('\t');
  if (incoming.kind === 'none') return [place, 'no event', incoming.why].join('\t');
  const reading = readChange(incoming.event);
  switch (reading.kind) {
    case 'row': {
      const at = reading.lsn === null ? reading.snapshot : `LSN ${reading.lsn}`;
      return [
        place,
        reading.op,
        reading.table,
        at,
        new Date(reading.at).toISOString(),
        JSON.stringify(reading.row),
      ].join('\t');
    }
    case 'truncate':
      return [
        place,
        't',
        reading.table,
        `LSN ${reading.lsn}`,
        new Date(reading.at).toISOString(),
      ].join('\t');
    case 'ignored':
      return [place, 'ignored', reading.why].join('\t');
    case 'unreadable':
      return [place, 'unreadable', reading.reason, reading.detail].join('\t');
  }
}
