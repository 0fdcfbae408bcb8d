/** Finds partitions of projections that are not read: work that depends on all of them waits indefinitely. */
import type { Inspector } from '../../state/database/inspector.ts';
import { type Finding, problem } from '../finding.ts';
import { duration } from '../plural.ts';

/** A partition counts as unread this long after its owner, which polls every second, polled it last. */
const UNREAD_SECONDS = 60;

interface Row {
  readonly name: string;
  readonly topic: string;
  readonly partition: number;
  readonly next: string;
  readonly problem: string | null;
  /** Time from its owner's last poll to the last poll of any partition of the topic. */
  readonly seconds: number;
}

/** Returns partitions that are stopped by a problem, or unread although others of their topic are read. */
export async function unreadPartitions(inspector: Inspector): Promise<readonly Finding[]> {
  const rows = await inspector.query<Row>(
    `select * from (
       select f.name, p.topic, p.partition, p.next, p.problem,
              extract(epoch from max(p.reported_at) over (partition by p.function, p.topic) - p.reported_at)::float8 as seconds
       from muster.position p join muster.function f on f.id = p.function
       where f.topic = p.topic and not f.paused) p
     where problem is not null or seconds > ${UNREAD_SECONDS}
     order by name, partition`,
  );
  return rows.map(toFinding);
}

function toFinding({ name, topic, partition, next, problem: why, seconds }: Row) {
  const where = `partition ${partition} of ${topic}`;
  if (why !== null) {
    return problem(
      `${name} does not read ${where}: ${why}`,
      `muster seek ${name} ${partition} <offset>   # where to resume; it is at ${next}`,
    );
  }
  return problem(
    `no worker has read ${where} for ${duration(seconds)}, and ${name} waits for it`,
    `kafka-topics.sh --describe --topic ${topic}   # if the partition no longer exists: delete from muster.position where topic = '${topic}' and partition = ${partition}`,
  );
}
