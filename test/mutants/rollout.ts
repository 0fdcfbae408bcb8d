import type { Mutant } from './mutants.ts';

const ANNOUNCE = 'src/state/registration/announce.ts';
const ROLLOUT = ['test/chaos/rollout.test.ts'];
const STATE = ['test/state/registration/announce.test.ts'];

/** Guards that keep a release serving until the next one does. */
export const ROLLOUT_MUTANTS: readonly Mutant[] = [
  {
    name: 'rollout: a migration registers at once',
    file: ANNOUNCE,
    find: '  return rowCount !== 0;',
    replace: '  return rowCount === -1;',
    tests: STATE,
  },
  {
    name: 'rollout: workers with an expired lease count as alive',
    file: ANNOUNCE,
    find: 'w.lease_until > now() and ',
    replace: '',
    tests: STATE,
  },
  {
    name: 'rollout: a superseded worker replaces the newer ones',
    file: ANNOUNCE,
    find: '  if (superseded !== undefined) throw',
    replace: '  if (superseded?.generation === -1) throw',
    tests: STATE,
  },
  {
    name: 'rollout: an announced definition stays superseded',
    file: 'src/state/registration/register.ts',
    find: ' && stored.announced !== hash',
    replace: '',
    tests: STATE,
  },
  {
    name: 'rollout: an earlier announcement takes effect later',
    file: 'src/state/registration/register.ts',
    find: '           announced = null, withdrawn = ',
    replace: '           withdrawn = ',
    tests: STATE,
  },
  {
    name: 'rollout: the serving release does not withdraw the announcement',
    file: 'src/state/registration/register.ts',
    find: '      if (adopt) await client.query(WITHDRAW, [stored.id]);\n',
    replace: '',
    tests: STATE,
  },
  {
    name: 'rollout: a new definition is registered before the process listens',
    file: 'src/process/register-functions.ts',
    find: '    await relieve();\n',
    replace: '    void relieve();\n',
    tests: ROLLOUT,
  },
  {
    name: 'rollout: an event does not trigger the takeover',
    file: 'src/process/relief.ts',
    find: '    this.#arrived.resolve();\n',
    replace: '',
    tests: ['test/process/relief.test.ts'],
  },
  {
    name: 'rollout: a process without events never takes over',
    file: 'src/process/relief.ts',
    find: '.promise, known, stop',
    replace: '.promise, stop',
    tests: ROLLOUT,
  },
  {
    name: 'rollout: an event waits without a timeout for the start',
    file: 'src/process/relief.ts',
    find: 'this.#started.promise, late',
    replace: 'this.#started.promise',
    tests: ['test/process/relief.test.ts'],
  },
  {
    name: 'rollout: a stopping process takes over from the serving workers',
    file: 'src/process/relief.ts',
    find: "      throw new Unavailable('draining', 'this process is stopping');\n    });\n    const known",
    replace: '    });\n    const known',
    tests: ROLLOUT,
  },
  {
    name: 'rollout: a withdrawn release takes over when it starts late',
    file: ANNOUNCE,
    find: '(mine.hash = any (f.withdrawn)\n                 or exists',
    replace: '(exists',
    tests: STATE,
  },
  {
    name: 'rollout: workers of other functions count as alive',
    file: ANNOUNCE,
    find: ' and w.serves ? f.id::text',
    replace: '',
    tests: STATE,
  },
];
