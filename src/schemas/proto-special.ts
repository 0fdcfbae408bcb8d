type Message = Readonly<Record<string, unknown>>;

const MS_PER_DAY = 86_400_000;
const WRAPPED = [
  'Double',
  'Float',
  'Int64',
  'UInt64',
  'Int32',
  'UInt32',
  'Bool',
  'String',
  'Bytes',
];

/**
 * Messages that stand for a single value of Kafka Connect, by their full names, as JsonConverter writes that value:
 * the bytes of a decimal, days of a date, milliseconds of a time or timestamp.
 */
export const SPECIAL: ReadonlyMap<string, (message: Message) => unknown> = new Map([
  ...WRAPPED.map(
    (name) => [`.google.protobuf.${name}Value`, (message: Message) => message['value']] as const,
  ),
  ['.confluent.type.Decimal', (message: Message) => message['value']],
  ['.google.type.Date', daysOf],
  ['.google.type.TimeOfDay', msOfDay],
  ['.google.protobuf.Timestamp', msOf],
]);

function daysOf(message: Message): number {
  const [year, month, day] = numbers(message, 'year', 'month', 'day') as [number, number, number];
  // Date.UTC reads the years 0 to 99 as 1900 to 1999.
  return new Date(0).setUTCFullYear(year, month - 1, day) / MS_PER_DAY;
}

function msOfDay(message: Message): number {
  const [hours, minutes, seconds, nanos] = numbers(message, 'hours', 'minutes', 'seconds', 'nanos');
  return (hours! * 3600 + minutes! * 60 + seconds!) * 1000 + Math.floor(nanos! / 1e6);
}

function msOf(message: Message): number {
  const [seconds, nanos] = numbers(message, 'seconds', 'nanos');
  return seconds! * 1000 + Math.floor(nanos! / 1e6);
}

function numbers(message: Message, ...names: string[]): number[] {
  return names.map((name) => Number(message[name]));
}
