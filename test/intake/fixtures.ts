import { readdirSync, readFileSync } from 'node:fs';

const root = new URL('../fixtures/', import.meta.url);

/** A Kafka record that a real Debezium wrote; see test/fixtures/debezium/README.md. */
export interface DebeziumMessage {
  /** `folder/number-step.kind.json` */
  readonly name: string;
  readonly folder: string;
  readonly step: string;
  readonly kind: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The parsed value, to compare with. */
  readonly value: any;
  /** The bytes of the value on the wire. */
  readonly body: Buffer;
}

const allMessages: readonly DebeziumMessage[] = readdirSync(new URL('debezium/', root))
  .filter((folder) => !folder.includes('.'))
  .flatMap((folder) =>
    readdirSync(new URL(`debezium/${folder}/`, root))
      .filter((file) => file !== 'index.json')
      .map((file) => {
        const { headers, value, wire } = readJson(`debezium/${folder}/${file}`);
        const [, step, kind] = /^\d+-(.*)\.([\w-]+)\.json$/.exec(file)!;
        const text: string | null = value === null ? '' : (wire?.value ?? JSON.stringify(value));
        const body = Buffer.from(text ?? '');
        return {
          name: `${folder}/${file}`,
          folder,
          step: step!,
          kind: kind!,
          headers,
          value,
          body,
        };
      }),
  );

/** Messages of the connector for PostgreSQL. */
export const debeziumMessages = allMessages.filter(({ folder }) => !folder.startsWith('mysql-'));

/** Messages of the connector for MySQL. */
export const mysqlMessages = allMessages.filter(({ folder }) => folder.startsWith('mysql-'));

/** A request that a real KafkaSource made; see test/fixtures/knative/README.md. */
export interface KnativeRequest {
  readonly name: string;
  readonly method: string;
  readonly target: string;
  /** In the order and case of the wire, values as Latin-1. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

export const knativeRequests: readonly KnativeRequest[] = readdirSync(
  new URL('knative/requests/', root),
).map((file) => {
  const [{ method, target, headers, body, bodyBase64 }] = readJson(
    `knative/requests/${file}`,
  ).requests;
  return {
    name: file.replace('.json', ''),
    method,
    target,
    headers,
    body: bodyBase64 === undefined ? Buffer.from(body) : Buffer.from(bodyBase64, 'base64'),
  };
});

/** Headers as Node hands them over: lower case. */
export function lowerCase(headers: KnativeRequest['headers']): Record<string, string> {
  return Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
}

function readJson(path: string): any {
  return JSON.parse(readFileSync(new URL(path, root), 'utf8'));
}
