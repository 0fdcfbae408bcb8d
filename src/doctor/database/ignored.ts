import { quoteForShell } from '../../lib/quote-for-shell.ts';
import { listIgnored, noteOn, type IgnoredStream } from '../../state/queries/ignored.ts';
import type { StateContext } from './server.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';
import { duration } from '../plural.ts';

/** Types and tables that are reported one by one. */
const MAX_REPORTED = 10;

/** Events of types, and changes of tables, that no function names: answered, and without any effect. */
export const ignored: Check<StateContext> = {
  id: 'database.ignored',
  title: 'ignored events',
  async run({ inspector }) {
    const query = async <R extends object>(text: string) => {
      const rows = await inspector.query<R>(text);
      return { rows, rowCount: rows.length };
    };
    const streams = await listIgnored({ query });
    if (streams.length === 0) return [fine('none')];
    const findings = streams.slice(0, MAX_REPORTED).map(report);
    return streams.length > MAX_REPORTED
      ? [...findings, fine(`${streams.length - MAX_REPORTED} more: muster ignored`)]
      : findings;
  },
};

/**
 * That something is ignored may be as intended. It is a problem if a function waits for something with a similar name
 * that has never arrived.
 */
function report(stream: IgnoredStream): Finding {
  const { name, meant } = stream;
  const note = noteOn(stream);
  const message = `${describe(stream)}${note === '' ? '' : `; ${note}`}`;
  if (meant === null || meant.hasArrived) return fine(message);
  const [fn] = meant.functions;
  return problem(
    `${message} Nothing has arrived of ${meant.name}`,
    `name ${name} in functions/${fn}.ts, or ${meant.name} at the sender; send again what was ignored, and: muster discard ignored ${shellWord(name)}`,
  );
}

function describe({ kind, name, count, lastAt, source }: IgnoredStream): string {
  const what = {
    event: `events of the type ${name}`,
    table: `changes of the table ${name}`,
    other: 'events and changes of others, beyond the number that is counted by name',
  }[kind];
  const last = duration(Math.max(0, Date.now() - lastAt.getTime()) / 1000);
  const from = source === null ? '' : ` from ${source}`;
  return `${count.toLocaleString('en-US')} ${what}${from}, the last ${last} ago`;
}

function shellWord(name: string): string {
  return /^[\w./:-]+$/.test(name) ? name : quoteForShell(name);
}
