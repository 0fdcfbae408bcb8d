import { plural } from '../doctor/plural.ts';
import { queriesOf } from '../state/database/database.ts';
import { explain } from '../state/queries/explain.ts';
import type { ExplainedPart, ExplainedRow, Explanation } from '../state/queries/explanation.ts';
import { keyText, keyValues } from '../state/key-text.ts';
import { functionId, keyColumns, withDatabase } from './database.ts';
import type { JsonOption } from './print-result.ts';
import { obstaclesTo } from './obstacles.ts';
import { WrongUse } from './wrong-use.ts';

export async function run(fn: string, key: string, options: JsonOption): Promise<void> {
  const [explanation, columns] = await withDatabase(async (database) => {
    const id = await functionId(database, fn);
    const form = await keyColumns(database, id);
    requireKey(fn, key, form);
    const found = (await explain(queriesOf(database.control), fn, keyText(key)))!;
    const obstacles = await obstaclesTo(database, found);
    return [{ ...found, obstacles }, form] as const;
  });
  process.stdout.write(options.json ? `${JSON.stringify(explanation)}\n` : toText(explanation));
  if (explanation.status === 'unknown') {
    throw new Error(`no row with this key has arrived; ${describeKey(fn, columns)}`);
  }
}

/** Throws {@link WrongUse} for a key that can't be one of this function. */
function requireKey(fn: string, key: string, columns: readonly string[]): void {
  if (columns.length < 2 || keyValues(key)?.length === columns.length) return;
  throw new WrongUse(`'${key}' is not a key: ${describeKey(fn, columns)}`);
}

function describeKey(fn: string, columns: readonly string[]): string {
  const form = columns.length === 1 ? columns[0] : `a JSON array of ${columns.join(', ')}`;
  return `the key of ${fn} is ${form}`;
}

function toText(set: Explanation & { readonly obstacles: readonly string[] }): string {
  const lines = [`${set.function} ${set.key}: ${set.status}`];
  for (const obstacle of set.obstacles) lines.push(`  ${obstacle}`);
  for (const part of set.parts) lines.push(...partLines(part));
  if (set.overdue !== null) {
    lines.push(
      `  deadline ${set.overdue.at}${set.overdue.reported ? ', reported as overdue' : ''}`,
    );
  }
  if (set.run !== null) lines.push(...runLines(set.run));
  lines.push(...set.events.map(eventLine));
  return `${lines.join('\n')}\n`;
}

function runLines(state: NonNullable<Explanation['run']>): string[] {
  const lines = [
    `  run: revision ${state.revision}, ${state.state}, ${plural(state.attempts, 'attempt')}`,
  ];
  if (state.revision === 0) lines.push('    complete since the initial snapshot, never run');
  if (state.startedAt !== null) lines.push(`    started ${state.startedAt}`);
  if (state.leaseUntil !== null) {
    lines.push(
      `    leased until ${state.leaseUntil}; if its worker is dead, another one takes over then`,
    );
  }
  if (state.finishedAt !== null) lines.push(`    ended ${state.finishedAt}`);
  if (state.state === 'ready') lines.push(`    due ${state.dueAt}`);
  if (state.lateChanges > 0) {
    lines.push(`    ${plural(state.lateChanges, 'change')} arrived after it started`);
  }
  if (state.lastError !== null) {
    lines.push(`    last error: ${state.lastError.replace(/^error: /i, '')}`);
  }
  return lines;
}

function eventLine(event: Explanation['events'][number]): string {
  const name = `  event ${event.type} ${event.id}`;
  if (event.failedAt !== null) return `${name}: refused: ${event.error}`;
  if (event.sentAt !== null) return `${name}: sent ${event.sentAt}`;
  const last = event.error === null ? '' : `, last error: ${event.error}`;
  return `${name}: to be sent, ${plural(event.attempts, 'attempt')}${last}`;
}

function partLines(part: ExplainedPart): string[] {
  const present = part.rows.filter((row) => row.state === 'present');
  const status = part.have < part.need ? 'missing' : 'present';
  const numbers = part.need === 1 && part.have <= 1 ? '' : ` (${part.have} of ${part.need})`;
  return [
    `  ${part.part}${part.stream === undefined ? '' : ` (${part.stream})`}: ${status}${numbers}`,
    ...(part.unsyncedSince === null
      ? []
      : [
          `    the part is new or changed: rows unchanged since ${part.unsyncedSince} are missing until they are read again`,
        ]),
    ...present.map((row) => `    ${nameOf(part, row)}, since ${row.since}`),
    ...part.rows
      .filter((row) => row.state === 'refused')
      .map((row) => `    ${nameOf(part, row)} refused: ${refusalOf(row)}`),
  ];
}

/** Names a row with its position, or an event or a record with its time. */
function nameOf({ stream }: ExplainedPart, row: ExplainedRow): string {
  if (stream === undefined) return `row ${row.id} ${positionOf(row)}`;
  return `${stream.startsWith('topic ') ? 'record' : 'event'} ${row.id} of ${row.at}`;
}

function positionOf(row: ExplainedRow): string {
  return row.lsn === null ? `read by a snapshot at ${row.at}` : `at LSN ${row.lsn}`;
}

function refusalOf({ refusedBy }: ExplainedRow): string {
  if (refusedBy === undefined) return 'the filter does not match';
  return `${refusedBy.column} is ${JSON.stringify(refusedBy.got)}, not ${JSON.stringify(refusedBy.wanted)}`;
}
