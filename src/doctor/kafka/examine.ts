import { connect } from 'node:net';
import type { Log } from '../../function.ts';
import { connectKafka } from '../../kafka/client.ts';
import { errorText } from '../../lib/error-text.ts';
import {
  fine,
  type Finding,
  type Group,
  problem,
  runChecks,
  skipChecks,
  toResult,
} from '../finding.ts';
import { type KafkaContext, retention, topics } from './topics.ts';
import { deadLetters, groups } from './groups.ts';
import { keySizes } from './keys.ts';
import { plural } from '../plural.ts';

const CHECKS = [topics, retention, keySizes, groups, deadLetters];
const REACHABLE = { id: 'kafka.reachable', title: 'reachable' };
const TIMEOUT_MS = 5_000;

/** Errors become findings, so the client logs nothing. */
const SILENT: Log = { info() {}, warn() {}, error() {} };

/** Connects to Kafka and runs the checks. */
export async function kafkaGroup(context: Omit<KafkaContext, 'admin'>): Promise<Group> {
  const { brokers } = context;
  const findings = await probe(brokers.split(','));
  const group = (found: readonly Finding[], results: Group['results']): Group => ({
    group: 'kafka',
    at: brokers,
    results: [...found.map((each) => toResult(REACHABLE, each)), ...results],
  });
  if (findings.every(({ state }) => state === 'problem')) {
    return group(findings, skipChecks(CHECKS, 'not reachable'));
  }
  const admin = connectKafka(context.config, SILENT, { retries: 1 }).admin();
  try {
    await admin.connect();
    const cluster = await admin.describeCluster();
    const reached = fine(plural(cluster.brokers.length, 'broker'));
    const unreachable = findings.filter(({ state }) => state === 'problem');
    return group([reached, ...unreachable], await runChecks(CHECKS, { ...context, admin }));
  } catch (error) {
    return group([refused(errorText(error))], skipChecks(CHECKS, 'not reachable'));
  } finally {
    await admin.disconnect().catch(() => {});
  }
}

/** Checks that every broker listens: a missing one of several would otherwise go unnoticed. */
async function probe(brokers: readonly string[]): Promise<Finding[]> {
  return Promise.all(
    brokers.map(async (broker) => {
      const why = await whyClosed(broker);
      if (why === null) return fine(broker);
      const [host, port] = broker.split(/:(?=\d+$)/);
      return problem(
        `${broker} does not answer: ${why}`,
        `nc -vz ${host} ${port}   # is it running? A NetworkPolicy may block the connection`,
      );
    }),
  );
}

function whyClosed(broker: string): Promise<string | null> {
  const [host, port] = broker.split(/:(?=\d+$)/);
  return new Promise((resolve) => {
    const socket = connect({ host: host!, port: Number(port), timeout: TIMEOUT_MS });
    const end = (why: string | null) => {
      socket.destroy();
      resolve(why);
    };
    socket.on('connect', () => end(null));
    socket.on('timeout', () => end(`timeout after ${TIMEOUT_MS / 1000} s`));
    socket.on('error', (error) => end(errorText(error)));
  });
}

function refused(message: string): Finding {
  if (/SASL|authentication/i.test(message)) {
    return problem(message, 'set KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD');
  }
  return problem(message, 'set KAFKA_TLS=1 and KAFKA_CA_FILE; or KAFKA_TLS=0 for a plain listener');
}
