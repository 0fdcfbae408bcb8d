import { knownFunctions } from '../definitions/function-files.ts';
import { isSetFunction, loadFunctions } from '../definitions/load-functions.ts';
import { plural } from '../doctor/plural.ts';
import type { Database } from '../state/database/database.ts';
import { specify } from '../definitions/specification.ts';
import type { Explanation } from '../state/queries/explanation.ts';
import { releaseOf } from '../state/registration/release.ts';

/** Returns what keeps a set from being run, apart from what is missing in it: one sentence each. */
export async function obstaclesTo(database: Database, set: Explanation): Promise<string[]> {
  if (set.status === 'done' || set.status === 'unknown') return [];
  const { function: fn, paused } = set;
  return [
    ...(paused ? [`${fn} is paused: no run starts until 'muster resume ${fn}'`] : []),
    ...(await definition(database, fn)),
    ...workers(set),
  ];
}

/** A function that is not in this release may belong to another deployment. */
async function definition(database: Database, fn: string): Promise<string[]> {
  if (!knownFunctions().includes(fn)) return [];
  try {
    const [own] = await loadFunctions([fn]);
    const release = isSetFunction(own!) ? await releaseOf(database, specify(own)) : null;
    if (release === null || release.isNewest) return [];
    const { generation, mine, isAnnounced } = release;
    if (isAnnounced) return []; // workers of the previous generation serve until then
    return [
      mine === null
        ? `the definition of ${fn} in this release is not registered, generation ${generation} is: run 'muster migrate' to register it`
        : `the registered definition of ${fn} (generation ${generation}) is newer than that of this release (generation ${mine}), whose workers answer 503: roll out the newer release; or, to roll back to this one, run 'muster migrate'`,
    ];
  } catch (error) {
    return [`this release's definition of ${fn} can't be loaded: ${(error as Error).message}`];
  }
}

/** A set that is waiting or in back-off needs no worker yet: one is started when something is due. */
function workers({ function: fn, status, run, workers: there, generation }: Explanation): string[] {
  const isDue = status === 'complete' && run !== null && Date.parse(run.dueAt) <= Date.now();
  if (!isDue || there.current > 0) return [];
  if (there.outdated === 0) {
    return [
      `no worker that serves ${fn} is running: start one with 'muster serve', or let KEDA start one`,
    ];
  }
  const older = `${plural(there.outdated, 'worker')} of an older generation ${there.outdated === 1 ? 'starts' : 'start'} no runs`;
  return [`no worker serves the newest generation ${generation} of ${fn}, and ${older}`];
}
