/** Returns the topics that `TOPIC` names, where `<prefix>.*` stands for `<prefix>.<table>` of each table. */
export function expandTopics(named: readonly string[], tables: readonly string[]): string[] {
  return named.flatMap((topic) =>
    topic.endsWith('.*') ? tables.map((table) => `${topic.slice(0, -1)}${table}`) : [topic],
  );
}
