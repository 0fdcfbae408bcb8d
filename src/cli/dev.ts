import { stopRequested } from '../lib/stop.ts';
import { Dev, type DevOptions } from '../local/dev-server/dev.ts';
import { kafkaAt } from './kafka.ts';
import { wholeNumber } from './number.ts';
import { checkSourceUrl } from './source-url.ts';
import { WrongUse } from './wrong-use.ts';

export interface DevCommandOptions {
  readonly databaseUrl?: string;
  readonly source?: string;
  readonly kafka?: string;
  readonly topicPrefix?: string;
  readonly sql?: string;
  readonly port: string;
  readonly consolePort: string;
}

/**
 * Runs until Ctrl-C. The database is never taken from DATABASE_URL, which may be that of production: it would be
 * migrated, and its runs would start here. Nor are the brokers taken from KAFKA_BROKERS.
 */
export async function run(given: DevCommandOptions): Promise<void> {
  requireOneSource(given);
  const { databaseUrl, source, sql, port, consolePort } = given;
  checkSourceUrl(source, 'its write-ahead log');
  // The script of a project names --sql, so that it is there with every other option, too.
  if (sql !== undefined && databaseUrl !== undefined) {
    say(`${sql} is not run: --sql is for the embedded database, not for that of --database-url`);
  }
  const options = {
    databaseUrl: databaseUrl ?? null,
    sourceUrl: source ?? null,
    kafka: kafkaOf(given),
    sql: sql ?? null,
    port: wholeNumber('--port', port),
    consolePort: wholeNumber('--console-port', consolePort),
    say,
  };
  const closed = new Promise((resolve) => process.once('SIGHUP', resolve)); // of its terminal
  const stopped = stopRequested(process.env['EXIT_WITH_STDIN'] === '1');
  await Dev.run(options, Promise.race([stopped, closed]));
  process.exit(0);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function requireOneSource({ source, kafka, topicPrefix }: DevCommandOptions) {
  if (kafka !== undefined && source !== undefined) {
    throw new WrongUse(
      'choose --kafka or --source: a row that comes from both would be two rows of its set. With either, events can also be posted over HTTP',
    );
  }
  if (kafka === undefined && topicPrefix !== undefined) {
    throw new WrongUse('--topic-prefix is for the topics of --kafka <brokers>, which is missing');
  }
}

/** Throws `ConfigError` for invalid settings of the login. */
function kafkaOf({ kafka: brokers, topicPrefix }: DevCommandOptions): DevOptions['kafka'] {
  if (brokers === undefined) return null;
  if (topicPrefix !== undefined && !/^[\w.-]+$/.test(topicPrefix)) {
    throw new WrongUse(
      `--topic-prefix must be the beginning of a topic's name, not '${topicPrefix}'`,
    );
  }
  const client = kafkaAt(brokers, '--kafka', { retries: 1 });
  const topics = topicPrefix === undefined ? process.env['TOPIC'] : `${topicPrefix}.*`;
  return {
    brokers,
    topics: topics || null,
    async list() {
      const admin = client.admin();
      try {
        await admin.connect();
        return await admin.listTopics();
      } finally {
        await admin.disconnect().catch(() => {});
      }
    },
  };
}
