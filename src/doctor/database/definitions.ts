import { knownFunctions } from '../../definitions/function-files.ts';
import { hashOf } from '../../definitions/specification.ts';
import { UNSYNCED_PARTS, type UnsyncedPart } from '../../state/registration/parts.ts';
import { RELEASES, type Release } from '../../state/registration/release.ts';
import type { StateContext } from './server.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';
import { resendRows } from '../kafka/groups.ts';
import { plural } from '../plural.ts';

export const definitions: Check<StateContext> = {
  id: 'database.definitions',
  title: 'definitions',
  async run({ inspector, specifications }) {
    const registered = await inspector.query<Release>(RELEASES, [
      specifications.map(({ name }) => name),
      specifications.map(hashOf),
    ]);
    const names = specifications.map(({ name }) => name);
    const parts = await inspector.query<UnsyncedPart>(UNSYNCED_PARTS, [names]);
    return names.flatMap((name) => [
      checkRelease(
        name,
        registered.find((each) => each.name === name),
      ),
      ...parts.filter((part) => part.function === name).map(unsynced),
    ]);
  },
};

function checkRelease(name: string, registered: Release | undefined): Finding {
  if (registered === undefined) return problem(`${name} is not registered`, 'muster migrate');
  const { generation, mine, isNewest, isAnnounced, evaluatedGeneration } = registered;
  if (isNewest) {
    const rest =
      evaluatedGeneration < generation ? '; not all sets have been re-evaluated yet' : '';
    return fine(`${name}: generation ${generation}${rest}`);
  }
  if (isAnnounced) {
    return fine(
      `${name}: announced; workers of generation ${generation} continue to serve until one of this release is ready`,
    );
  }
  return mine === null
    ? problem(
        `${name}: this release's definition is newer than the registered generation ${generation}`,
        'muster migrate',
      )
    : problem(
        `${name}: this release's definition is generation ${mine}, but the newest is ${generation}: pods of this release answer 503`,
        'roll out the newer release; or, to roll back to this one: muster migrate',
      );
}

/** A part that was added, changed or restored by a rollback lacks the rows from before. */
function unsynced({ function: fn, part, table, stream, since }: UnsyncedPart): Finding {
  if (table === null) {
    return problem(
      `${fn}: part ${part} is new or changed, and has only what arrived of ${stream} since ${since.toISOString()}; there is nothing here to compare it with`,
      `muster resynced ${fn} ${part}   # once its sender has sent earlier ones again, or if they do not matter`,
    );
  }
  return problem(
    `${fn}: part ${part} is new or changed, and has only the rows of ${table} that changed since ${since.toISOString()}`,
    `muster resynced ${fn} ${part}   # once the connector has read the table again: ${resendRows([table])}`,
  );
}

/** Registered functions that are no longer in this release but still have due runs. */
export const orphans: Check<StateContext> = {
  id: 'database.orphans',
  title: 'orphaned functions',
  async run({ inspector }) {
    const left = await inspector.query<{ name: string; runs: number }>(
      `select f.name, count(*)::int as runs from muster.function f
       join muster.queue q on q.function = f.id and q.due_at < 'infinity'
       join muster.sets r on r.function = q.function and r.key_hash = q.key_hash and r.token = q.token and r.complete
       where f.name <> all ($1) group by f.name order by f.name`,
      [knownFunctions()],
    );
    if (left.length === 0) return [fine('none')];
    return left.map(({ name, runs }) =>
      problem(
        `${name} is not in this release but has ${plural(runs, 'due run')}`,
        `deploy a release with functions/${name}, or: muster pause ${name}`,
      ),
    );
  },
};
