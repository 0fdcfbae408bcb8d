import { SESSION } from '../../state/database/session.ts';
import type { StateContext } from './database.ts';
import { type Check, fine, problem } from '../finding.ts';
import { plural } from '../words.ts';

/** Do the settings hold that every connection of Muster's makes, from one statement to the next? */
export const session: Check<StateContext> = {
  id: 'database.session',
  title: 'session',
  async run({ inspector }) {
    // The doctor waits for locks less long than others.
    const { lock_timeout: _, ...wanted } = SESSION;
    const rows = await inspector.query<{ name: string; value: string | null }>(
      `select name, current_setting(name, true) as value from unnest($1::text[]) as s (name)`,
      [Object.keys(wanted)],
    );
    const wrong = rows.filter(
      ({ name, value }) => value !== null && value.split(', ')[0] !== SESSION[name],
    );
    if (wrong.length === 0) return [fine(`${plural(rows.length, 'setting')} hold`)];
    const list = wrong.map(({ name, value }) => `${name} is ${value}, not ${SESSION[name]}`);
    return [
      problem(
        `settings of the connection do not hold: ${list.join('; ')}`,
        'name the PostgreSQL server itself in DATABASE_URL, or set pool_mode = session in the pooler',
      ),
    ];
  },
};
