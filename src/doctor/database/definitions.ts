import { knownFunctions } from '../../definitions/function-files.ts';
import { hashOf } from '../../definitions/specification.ts';
import { UNSYNCED_PARTS, type UnsyncedPart } from '../../state/registration/parts.ts';
import { RELEASES, type Release } from '../../state/registration/release.ts';
import type { StateContext } from './database.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';
import { sendAgain } from '../kafka/groups.ts';
import { plural } from '../words.ts';

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
      standing(
        name,
        registered.find((each) => each.name === name),
      ),
      ...parts.filter((part) => part.function === name).map(unread),
    ]);
  },
};

function standing(name: string, registered: Release | undefined): Finding {
  if (registered === undefined) return problem(`${name} is not registered`, 'muster migrate');
  const { generation, mine, isNewest, isAnnounced, evaluatedGeneration } = registered;
  if (isNewest) {
    const rest =
      evaluatedGeneration < generation ? '; not all of its sets have been evaluated by it yet' : '';
    return fine(`${name}: generation ${generation}${rest}`);
  }
  if (isAnnounced) {
    return fine(
      `${name}: announced; workers of generation ${generation} serve until one of this release is ready`,
    );
  }
  return mine === null
    ? problem(
        `${name}: this release's definition is newer than generation ${generation}, which is registered`,
        'muster migrate',
      )
    : problem(
        `${name}: this release's definition is generation ${mine}, ${generation} is the newest: its pods answer 503`,
        'roll the newer release out; or, to roll back to this one: muster migrate',
      );
}

/** A part that was added or changed, or came back by a rollback, knows no row from before. */
function unread({ function: fn, part, table, since }: UnsyncedPart): Finding {
  return problem(
    `${fn}: part ${part} is new or changed, and knows only rows of ${table} that changed since ${since.toISOString()}`,
    `muster resynced ${fn} ${part}   # once the connector has read the table again: ${sendAgain([table])}`,
  );
}

/** Functions that were registered once and are in this release no more, but still have something to do. */
export const orphans: Check<StateContext> = {
  id: 'database.orphans',
  title: 'functions nobody serves',
  async run({ inspector }) {
    const left = await inspector.query<{ name: string; runs: number }>(
      `select f.name, count(*)::int as runs from muster.function f
       join muster.run r on r.function = f.id and r.state = 'ready' and r.complete
       where f.name <> all ($1) group by f.name order by f.name`,
      [knownFunctions()],
    );
    if (left.length === 0) return [fine('none')];
    return left.map(({ name, runs }) =>
      problem(
        `${name} is not in this release, and ${plural(runs, 'run')} of it are due`,
        `deploy a release with functions/${name}, or: muster pause ${name}`,
      ),
    );
  },
};
