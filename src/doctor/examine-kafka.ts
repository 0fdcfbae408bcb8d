import { connectKafka } from '../intake/kafka.ts';
import { type Group, problem, runChecks, skipChecks, toResult, fine } from './finding.ts';
import { type KafkaContext, retention, topics } from './kafka.ts';
import { deadLetters, groups } from './kafka-groups.ts';
import { plural } from './words.ts';

const CHECKS = [topics, retention, groups, deadLetters];
const REACHABLE = { id: 'kafka.reachable', title: 'reachable' };

/** Connects to Kafka and asks; null brokers are none of its business. */
export async function kafkaGroup(context: Omit<KafkaContext, 'admin'>): Promise<Group> {
  const { brokers } = context;
  const admin = connectKafka(brokers.split(',')).admin({ retry: { retries: 1 } });
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
