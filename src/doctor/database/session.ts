import { SESSION } from '../../state/database/session.ts';
import type { StateContext } from './server.ts';
import { type Check, fine, problem } from '../finding.ts';
import { plural } from '../plural.ts';

/** Checks that the settings of Muster's connections persist from one statement to the next. */
export const session: Check<StateContext> = {
  id: 'database.session',
  title: 'session',
  async run({ inspector }) {
    // the doctor's connection has a shorter lock timeout
    const { lock_timeout: _, ...wanted } = SESSION;
    const rows = await inspector.query<{ name: string; value: string | null }>(
      `select name, current_setting(name, true) as value from unnest($1::text[]) as s (name)`,
      [Object.keys(wanted)],
    );
    const wrong = rows.filter(
      ({ name, value }) => value !== null && value.split(', ')[0] !== SESSION[name],
    );
    const pooler = inspector.isPooled ? 'a pooler in session mode' : 'no pooler';
    if (wrong.length === 0) {
      return [fine(`${plural(rows.length, 'setting')} in effect, ${pooler} in between`)];
    }
    const list = wrong.map(({ name, value }) => `${name} is ${value}, not ${SESSION[name]}`);
    return [
      problem(
        `connection settings are not in effect: ${list.join('; ')}`,
        'set DATABASE_URL to the PostgreSQL server itself, or set pool_mode = session in the pooler',
      ),
    ];
  },
};
