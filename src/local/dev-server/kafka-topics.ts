import { expandTopics } from '../../definitions/topics.ts';
import { errorText } from '../../lib/error-text.ts';
import { type Checked, tablesOfAll, topicsReadBy } from './checked.ts';

/** A Kafka whose topics are read. */
export interface KafkaTopics {
  readonly brokers: string;
  /** Topics with the changes of tables, in the form of the setting `TOPIC`; null if none are named. */
  readonly topics: string | null;
  /** Returns the names of the topics that exist. */
  readonly list: () => Promise<readonly string[]>;
}

/** The topics of tables are not named: no saved file fixes that. */
export class UnnamedTopics extends Error {
  override readonly name = 'UnnamedTopics';
}

/** Throws if the brokers can't be used: waiting for them, as a pod does, would only seem to hang. */
export async function requireBrokers({ list }: KafkaTopics): Promise<void> {
  await list().catch((error: unknown) => {
    throw new Error(`the brokers of --kafka can't be used: ${errorText(error)}`, { cause: error });
  });
}

/** Returns the topics that the functions read; throws {@link UnnamedTopics} if those of a table are not named. */
export function topicsOf(functions: readonly Checked[], { topics }: KafkaTopics): string[] {
  const tables = tablesOfAll(functions);
  if (tables.length > 0 && topics === null) {
    throw new UnnamedTopics(
      `the topics of ${tables.join(', ')} are not named. Start again with --topic-prefix <prefix> if they are <prefix>.${tables[0]} and so on; otherwise set TOPIC`,
    );
  }
  const named = topics?.split(',').map((each) => each.trim()) ?? [];
  return [...new Set([...topicsReadBy(functions), ...expandTopics(named, tables)])];
}

/** Names the topics that do not exist: until they do, their functions read nothing. */
export async function sayMissing(
  needed: readonly string[],
  { brokers, list }: KafkaTopics,
  say: (line: string) => void,
): Promise<void> {
  const existing = await list();
  for (const topic of needed.filter((each) => !existing.includes(each))) {
    say(`there is no topic ${topic} at ${brokers} yet; waiting for it`);
  }
}
