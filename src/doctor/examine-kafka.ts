import { Kafka, logLevel } from 'kafkajs';
import { type Group, problem, runChecks, skipChecks, toResult, fine } from './finding.ts';
import { type KafkaContext, retention, topics } from './kafka.ts';
import { deadLetters, groups } from './kafka-groups.ts';
import { plural } from './words.ts';

const CHECKS = [topics, retention, groups, deadLetters];
const REACHABLE = { id: 'kafka.reachable', title: 'reachable' };

/** Connects to Kafka and asks. */
export async function kafkaGroup(context: Omit<KafkaContext, 'admin'>): Promise<Group> {
  const { brokers } = context;
  const kafka = new Kafka({
    clientId: 'muster',
    brokers: brokers.split(','),
    connectionTimeout: 5_000,
    logLevel: logLevel.NOTHING, // what went wrong is a finding
    retry: { retries: 1 },
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    const cluster = await admin.describeCluster();
    const reached = toResult(REACHABLE, fine(plural(cluster.brokers.length, 'broker')));
    const results = await runChecks(CHECKS, { ...context, admin });
    return { group: 'kafka', at: brokers, results: [reached, ...results] };
  } catch (error) {
    const reached = toResult(REACHABLE, unreachable((error as Error).message, brokers));
    return {
      group: 'kafka',
      at: brokers,
      results: [reached, ...skipChecks(CHECKS, 'not reachable')],
    };
  } finally {
    await admin.disconnect().catch(() => {});
  }
}

function unreachable(says: string, brokers: string) {
  if (/SASL|[Aa]uthentication/.test(says)) {
    return problem(says, 'set KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD');
  }
  if (/certificate|TLS|SSL|ECONNRESET|disconnected/.test(says)) {
    return problem(says, 'set KAFKA_TLS=1 and KAFKA_CA_FILE; or KAFKA_TLS=0 for a plain listener');
  }
  const first = brokers.split(',')[0]!.replace(':', ' ');
  return problem(says, `nc -vz ${first}   # is it there? A NetworkPolicy may be in between`);
}
