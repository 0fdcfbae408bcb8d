import { readFileSync } from 'node:fs';
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
  ignored: [],
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
/** Commands whose usage needs no example. */
const WITHOUT_EXAMPLE = new Set(['', 'serve ', 'pause ', 'resume ']);

test.for(HELP)('muster %s--help prints the usage with exit code 0', async (command) => {
  const { code, stdout, stderr } = await muster({}, `${command}--help`.split(' '));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^Usage: muster/);
  expect(/\nExamples?:\n {2}/.test(stdout)).toBe(!WITHOUT_EXAMPLE.has(command));
});

test.for([
  ['', 'Usage: muster'],
  ['discard', 'Usage: muster discard'],
  ['epoch', 'Usage: muster epoch'],
  ['source', 'Usage: muster source'],
] as const)('muster %s alone shows the usage: exit code 2', async ([line, expected]) => {
  const { code, stdout, stderr } = await muster({}, line === '' ? [] : line.split(' '));
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr.slice(0, expected.length)).toBe(expected);
});

test.for([
  ['stes', "unknown command 'stes'; did you mean sets? (see muster --help)"],
  ['frobnicate', "unknown command 'frobnicate' (see muster --help)"],
  ['discard parke', "unknown command 'parke'; did you mean parked? (see muster discard --help)"],
  ['--port 99999', "unknown option '--port' (see muster --help)"],
  ['serve --port 99999', "unknown option '--port' (see muster serve --help)"],
  ['sets --wating', "unknown option '--wating'; did you mean --waiting? (see muster sets --help)"],
  ['explain recordings', "missing required argument 'key' (see muster explain --help)"],
  ['epoch bump', "missing required argument 'source' (see muster epoch bump --help)"],
  [
    'explain recordings x y',
    "too many arguments for 'explain'. Expected 2 arguments but got 3. (see muster explain --help)",
  ],
  ['redeliver --to', "option '--to <url>' argument missing (see muster redeliver --help)"],
  ['tail topic', "required option '--brokers <list>' not specified (see muster tail --help)"],
  [
    'sets --failed --overdue',
    "option '--overdue' cannot be used with option '--failed' (see muster sets --help)",
  ],
  [
    'doctor --decimals some',
    "option '--decimals <mode>' argument 'some' is invalid. Allowed choices are precise, string, double. (see muster doctor --help)",
  ],
  ['sets --limit none', "--limit must be a whole number of 1 or more, not 'none'"],
  [
    'parked --limit 99999999999999999999',
    "--limit must be a whole number from 1 to 9007199254740991, not '99999999999999999999'",
  ],
  ['events --limit 0', "--limit must be a whole number of 1 or more, not '0'"],
  ['seek travelers x 0', "partition must be a whole number, not 'x'"],
  [
    'seek travelers 99999999999 0',
    "partition must be a whole number from 0 to 2147483647, not '99999999999'",
  ],
  ['seek travelers 0 -1', "offset must be a whole number, not '-1'"],
  ['retry recordings', 'specify the key of a set, or --all'],
  ['retry recordings x --all', 'specify the key of a set or --all, not both'],
  ['resend recordings', 'specify the key of a set, or --all'],
  ['discard runs recordings', 'specify the key of a set, or --all'],
  ['discard events recordings x --all', 'specify the key of a set or --all, not both'],
  [
    'discard events recordings --all --event recordings/x/1/0',
    '--event selects one event of a set: specify the key of the set instead of --all',
  ],
  ['discard parked', 'specify numbers of parked events, or a --reason'],
  ['discard parked one', "id must be a whole number of 1 or more, not 'one'"],
  ['parked one', "id must be a whole number of 1 or more, not 'one'"],
  ['redeliver one', "id must be a whole number of 1 or more, not 'one'"],
  ['redeliver --dead-letters dead', '--dead-letters needs --brokers, or KAFKA_BROKERS'],
  [
    'tail topic --brokers nonsense',
    "--brokers must be host:port, separated by commas, not 'nonsense'",
  ],
  ['doctor --brokers nonsense', "--brokers must be host:port, separated by commas, not 'nonsense'"],
  [
    'redeliver --to localhost:8080',
    "--to must be a URL that begins with http:// or https://, not 'localhost:8080'",
  ],
  [
    'redeliver --token-file /nowhere/token',
    "--token-file can't be read: ENOENT: no such file or directory, access '/nowhere/token'",
  ],
  [
    'send /dev/null --to nonsense',
    "--to must be a URL that begins with http:// or https://, not 'nonsense'",
  ],
  [
    'send /nowhere/change.json',
    "file can't be read: ENOENT: no such file or directory, access '/nowhere/change.json'",
  ],
  ['send /dev/null', 'there is no event in /dev/null'],
  [
    'dev --kafka kafka:9092 --source postgres://db/app',
    'choose --kafka or --source: a row that comes from both would be two rows of its set. With either, events can also be posted over HTTP',
  ],
  [
    'dev --topic-prefix shop',
    '--topic-prefix is for the topics of --kafka <brokers>, which is missing',
  ],
  [
    'dev --kafka kafka:9092 --topic-prefix shop.*',
    "--topic-prefix must be the beginning of a topic's name, not 'shop.*'",
  ],
  ['dev --kafka nonsense', "--kafka must be host:port, separated by commas, not 'nonsense'"],
  ['doctor --pods some', "--pods must be a whole number of 1 or more, not 'some'"],
  [
    'doctor --source mysql://db/app',
    '--source is of MySQL, but only works with PostgreSQL: it reads its catalog, publication and replication slot. Changes of MySQL come from Debezium',
  ],
  [
    'dev --source jdbc:mariadb://db/app',
    '--source is of MariaDB, but only works with PostgreSQL: it reads its write-ahead log. Changes of MariaDB come from Debezium',
  ],
  [
    'doctor --source db/app',
    '--source must be a URL that begins with postgres:// or postgresql://',
  ],
  [
    'epoch bump postgres --since x',
    "--since must be a time with a time zone, such as 2026-06-01T12:00:00Z, not 'x'",
  ],
  // Date.parse accepts a number as a year, and a time without a zone as local time
  [
    'epoch bump postgres --since 5',
    "--since must be a time with a time zone, such as 2026-06-01T12:00:00Z, not '5'",
  ],
  [
    'epoch bump postgres --since 2026-06-01T12:00:00',
    "--since must be a time with a time zone, such as 2026-06-01T12:00:00Z, not '2026-06-01T12:00:00'",
  ],
] as const)(
  'muster %s is misuse: exit code 2, and one line reports what is wrong',
  async ([line, expected]) => {
    const { code, stdout, stderr } = await muster({ DATABASE_URL }, line.split(' '));
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: '',
      stderr: `muster: ${expected}\n`,
    });
  },
);

test.for(['--version', '-V'])('muster %s prints the version of package.json', async (option) => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(await muster({}, [option])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

const isGroup = (name: string) => ['discard', 'epoch', 'source'].includes(name);

/** Returns the names of all commands as the help lists them; those of a group with the name of the group. */
async function allCommands(group = ''): Promise<string[]> {
  const { stdout } = await muster({}, [...group.split(' '), '--help'].filter(Boolean));
  const [, listed = ''] = stdout.split('\nCommands:\n');
  const names = [...listed.matchAll(/^ {2}([a-z]+)/gm)]
    .map(([, name]) => `${group} ${name}`.trim())
    .filter((name) => !name.endsWith('help'));
  const nested = await Promise.all(names.filter(isGroup).map(allCommands));
  return [...names.filter((name) => !isGroup(name)), ...nested.flat()];
}

test.for(Object.entries(COMMANDS))(
  'muster %s reports all problems of the configuration in one message: exit code 2, no password',
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
    expect(stderr).toBe(`muster: invalid configuration:
  DATABASE_URL must be a URL that begins with postgres:// or postgresql://
  PORT must be a whole number from 0 to 65535, not 'eighty'
  K_SINK must not contain a user name: no request can be made to such a URL
  FUNCTIONS names 'nothing', which is not in functions/ (recordings, travelers)
`);
  },
);

test.for(
  Object.entries(COMMANDS).filter(
    ([command]) => !['serve', 'console', 'migrate'].includes(command),
  ),
)(
  'muster %s reports that the database does not answer: exit code 1, no password',
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

test('a wrong password is reported but not printed', async ({ db }) => {
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

test('commands report that an empty database needs muster migrate', async ({ db }) => {
  await db.query('drop schema muster cascade');
  for (const command of ['sets', 'parked']) {
    const { code, stderr } = await muster({ DATABASE_URL: db.url }, [command]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^muster: relation "muster\.\w+" does not exist: migrate the state database to this release first, with 'muster migrate'$/m,
    );
  }
});

/** Commands that print no result of their own. */
const WITHOUT_JSON = new Set(['serve', 'console', 'dev']);

/** It starts over a hundred processes, one after the other. */
const ALL_MS = 120_000;

test(
  'every command supports --json, and reports an unknown option or excess arguments in one line',
  {
    timeout: ALL_MS,
  },
  async () => {
    const commands = await allCommands();
    expect(commands.length).toBeGreaterThan(20);
    for (const line of commands) {
      const command = line.split(' ');
      const { stdout } = await muster({}, [...command, '--help']);
      expect([line, stdout.includes('--json ')]).toEqual([line, !WITHOUT_JSON.has(line)]);
      const wrong = await muster({ KAFKA_BROKERS: 'kafka:9092' }, [...command, '--nonsense']);
      expect([line, wrong]).toEqual([
        line,
        {
          code: 2,
          stdout: '',
          stderr: `muster: unknown option '--nonsense' (see muster ${line} --help)\n`,
        },
      ]);
      if (/^Usage: .*\.\.\.\]/.test(stdout)) continue;
      const many = await muster({ DATABASE_URL, KAFKA_BROKERS: 'kafka:9092' }, [
        ...command,
        ...Array<string>(5).fill('x'),
      ]);
      expect([line, many.code, many.stderr.split('\n').length]).toEqual([line, 2, 2]);
      expect(many.stderr).toMatch(/^muster: too many arguments/);
    }
  },
);

test.for([
  ['help nothing', "unknown command 'nothing' (see muster --help)"],
  ['help stes', "unknown command 'stes'; did you mean sets? (see muster --help)"],
  ['help discard run', "unknown command 'run'; did you mean runs? (see muster discard --help)"],
] as const)('muster %s reports the mistake: exit code 2', async ([line, expected]) => {
  expect(await muster({}, line.split(' '))).toEqual({
    code: 2,
    stdout: '',
    stderr: `muster: ${expected}\n`,
  });
});

test('muster dev reports a database that does not answer at once', async () => {
  const url = 'postgres://muster:canary-password@127.0.0.1:1/state';
  const args = ['dev', '--port', '1234', '--console-port', '1235', '--database-url', url];
  const { code, stderr } = await muster({}, args);
  expect([code, stderr]).toEqual([
    1,
    "muster: the database of --database-url can't be used: connect ECONNREFUSED 127.0.0.1:1\n",
  ]);
});

test('muster help prints the help of a command', async () => {
  const { code, stdout } = await muster({}, ['help', 'discard', 'runs']);
  expect([code, stdout.split('\n')[0]]).toEqual([
    0,
    'Usage: muster discard runs [options] <function> [key]',
  ]);
});
