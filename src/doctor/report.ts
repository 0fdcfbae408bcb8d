import { styleText } from 'node:util';
import type { Group, Result } from './finding.ts';

const TITLES: Readonly<Record<Group['group'], string>> = {
  functions: 'Functions',
  database: 'State database',
  source: 'Source',
  kafka: 'Kafka',
  registry: 'Schema registry',
  cluster: 'Cluster',
};
const MARKS = { fine: ['✓', 'green'], problem: ['✗', 'red'], unchecked: ['–', 'dim'] } as const;

export function countOf(groups: readonly Group[], state: Result['state']): number {
  return groups.flatMap(({ results }) => results).filter((each) => each.state === state).length;
}

/** Human-readable: one line per finding, with the remedy for a problem on the lines below it. */
export function toText(groups: readonly Group[], isColoured: boolean): string {
  const style = (name: 'green' | 'red' | 'dim' | 'bold', text: string) =>
    isColoured ? styleText(name, text, { validateStream: false }) : text;
  const lines = groups.flatMap(({ group, at, results }) => [
    `${style('bold', TITLES[group])}${at === '' ? '' : style('dim', ` ${at}`)}`,
    ...merge(results).flatMap(({ state, title, message, remedy }) => {
      const [mark, colour] = MARKS[state];
      const text = `${title}: ${state === 'unchecked' ? `not checked: ${message}` : message}`;
      return [
        `  ${style(colour, mark)} ${text}`,
        ...(remedy?.split('\n').map((line) => `      ${line}`) ?? []),
      ];
    }),
    '',
  ]);
  const problems = countOf(groups, 'problem');
  lines.push(
    `${countOf(groups, 'fine')} fine, ${problems} problem${problems === 1 ? '' : 's'}, ${countOf(groups, 'unchecked')} not checked`,
  );
  return `${lines.join('\n')}\n`;
}

/** Merges adjacent checks that were not run for the same reason into one line. */
function merge(results: readonly Result[]): Result[] {
  const lines: Result[] = [];
  for (const result of results) {
    const last = lines.at(-1);
    const isSkipped = result.state === 'unchecked' && last?.state === 'unchecked';
    if (isSkipped && last.message === result.message) {
      lines.splice(-1, 1, { ...last, title: `${last.title}, ${result.title}` });
    } else {
      lines.push(result);
    }
  }
  return lines;
}

/**
 * Machine-readable, on one line; fields may be added, but are never removed or renamed:
 * `{status: "fine" | "problem", fine, problems, unchecked, findings: [{group, at, check, title, state, message, remedy}]}`
 * where `check` is a stable name, `state` is fine, problem or unchecked, and `remedy` is null unless `state` is
 * problem.
 */
export function toJson(groups: readonly Group[]): string {
  const problems = countOf(groups, 'problem');
  const report = {
    status: problems > 0 ? 'problem' : 'fine',
    fine: countOf(groups, 'fine'),
    problems,
    unchecked: countOf(groups, 'unchecked'),
    findings: groups.flatMap(({ group, at, results }) =>
      results.map(({ check, title, state, message, remedy = null }) => ({
        group,
        at,
        check,
        title,
        state,
        message,
        remedy,
      })),
    ),
  };
  return `${JSON.stringify(report)}\n`;
}
