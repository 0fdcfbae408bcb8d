import { expect } from 'vitest';
import { test } from '../support/test.ts';
import { muster } from './command.ts';

const DATABASE_URL = 'postgres://muster:canary-password@127.0.0.1:1/state';

const COMMANDS = {
  serve: [],
  console: [],
  migrate: [],
  explain: ['recordings', 'x'],
  sets: [],
  retry: ['recordings', '--all'],
  pause: ['recordings'],
  resume: ['recordings'],
  parked: [],
  redeliver: [],
  events: [],
  resend: ['recordings', '--all'],
  'discard events': ['recordings', '--all'],
  'epoch bump': ['postgres'],
} as const;

const HELP = [
  '',
  ...[...Object.keys(COMMANDS), 'send', 'tail', 'doctor'].map((each) => `${each} `),
];
/** Those whose name says how they are called. */
const WITHOUT_EXAMPLE = new Set(['', 'serve ', 'pause ', 'resume ']);

test.for(HELP)(
  'muster %s--help says how the command is used, with exit code 0',
  async (command) => {
    const { code, stdout, stderr } = await muster({}, `${command}--help`.split(' '));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: muster/);
    expect(/\nExamples?:\n {2}/.test(stdout)).toBe(!WITHOUT_EXAMPLE.has(command));
  },
);

test.for([
  ['', 'Usage: muster'],
  ['explode', "error: unknown command 'explode'"],
  ['explain recordings', "error: missing required argument 'key'"],
  ['sets --limit none', "muster: --limit must be a whole number of 1 or more, not 'none'"],
  ['sets --wating', "error: unknown option '--wating'\n(Did you mean --waiting?)"],
  ['sets --failed --overdue', "error: option '--overdue' cannot be used with option '--failed'"],
  ['retry recordings', 'muster: name the key of a set, or say --all'],
  ['retry recordings x --all', 'muster: name the key of a set, or say --all'],
  ['resend recordings', 'muster: name the key of a set, or say --all'],
  ['discard events recordings x --all', 'muster: name the key of a set, or say --all'],
  [
    'discard events recordings --all --event recordings/x/1/0',
    'muster: --event is one event of a set: name the key of the set, and not --all',
  ],
  ['discard', 'Usage: muster discard'],
  ['parked one', "muster: id must be a whole number of 1 or more, not 'one'"],
  ['redeliver --dead-letters dead', 'muster: --dead-letters needs --brokers, or KAFKA_BROKERS'],
  ['doctor --pods some', "muster: --pods must be a whole number of 1 or more, not 'some'"],
  [
    'doctor --source mysql://db/app',
    'muster: --source must be a URL that begins with postgres:// or postgresql://',
  ],
  ['epoch', 'Usage: muster epoch'],
  ['epoch bump', "error: missing required argument 'source'"],
] as const)(
  'muster %s is a wrong call: exit code 2, and says what is wrong',
  async ([line, says]) => {
    const args = line === '' ? [] : line.split(' ');
    const { code, stdout, stderr } = await muster({ DATABASE_URL }, args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.slice(0, says.length)).toBe(says);
  },
);

test.for(Object.entries(COMMANDS))(
  'muster %s lists every problem of its configuration in one message: exit code 2, no password',
  async ([command, args]) => {
    const { code, stdout, stderr } = await muster(
      {
        DATABASE_URL: 'mysql://muster:canary-password@db/state',
        K_SINK: 'http://user:canary-password@sink/',
        PORT: 'eighty',
        FUNCTIONS: 'recordings,nothing',
      },
      [...command.split(' '), ...args],
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe(`muster: wrong configuration:
  DATABASE_URL must be a URL that begins with postgres:// or postgresql://
  PORT must be a whole number from 0 to 65535, not 'eighty'
  K_SINK must not hold a user: no request can be made to such a URL
  FUNCTIONS names 'nothing', which is not in functions/ (recordings, travelers)
`);
  },
);

test.for(
  Object.entries(COMMANDS).filter(
    ([command]) => !['serve', 'console', 'migrate'].includes(command),
  ),
)(
  'muster %s says that the database does not answer: exit code 1, no password',
  async ([command, args]) => {
    const { code, stdout, stderr } = await muster({ DATABASE_URL }, [
      ...command.split(' '),
      ...args,
    ]);
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: '',
      stderr: 'muster: the state database does not answer: connect ECONNREFUSED 127.0.0.1:1\n',
    });
  },
);

test('a wrong password is said, and not printed', async ({ db }) => {
  const url = new URL(db.url);
  url.username = 'nobody';
  url.password = 'canary-password';
  for (const command of ['serve', 'sets', 'migrate']) {
    const { code, stdout, stderr } = await muster({ DATABASE_URL: url.href }, [command]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(
      'muster: the state database says: password authentication failed for user "nobody" (SQLSTATE 28P01)',
    );
    expect(stderr).not.toContain('canary-password');
  }
});

test('an empty database is said to need muster migrate', async ({ db }) => {
  await db.query('drop schema muster cascade');
  for (const command of ['sets', 'parked']) {
    const { code, stderr } = await muster({ DATABASE_URL: db.url }, [command]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^muster: relation "muster\.\w+" does not exist: bring the state database to this release first, by 'muster migrate'$/m,
    );
  }
});
