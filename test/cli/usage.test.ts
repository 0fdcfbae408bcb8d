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
  ['discard', 'Usage: muster discard'],
  ['epoch', 'Usage: muster epoch'],
  ['source', 'Usage: muster source'],
] as const)('muster %s alone shows the usage: exit code 2', async ([line, says]) => {
  const { code, stdout, stderr } = await muster({}, line === '' ? [] : line.split(' '));
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr.slice(0, says.length)).toBe(says);
});

test.for([
  ['stes', "unknown command 'stes'; did you mean sets? (muster --help shows how)"],
  ['frobnicate', "unknown command 'frobnicate' (muster --help shows how)"],
  [
    'discard parke',
    "unknown command 'parke'; did you mean parked? (muster discard --help shows how)",
  ],
  ['--port 99999', "unknown option '--port' (muster --help shows how)"],
  ['serve --port 99999', "unknown option '--port' (muster serve --help shows how)"],
  [
    'sets --wating',
    "unknown option '--wating'; did you mean --waiting? (muster sets --help shows how)",
  ],
  ['explain recordings', "missing required argument 'key' (muster explain --help shows how)"],
  ['epoch bump', "missing required argument 'source' (muster epoch bump --help shows how)"],
  [
    'explain recordings x y',
    "too many arguments for 'explain'. Expected 2 arguments but got 3. (muster explain --help shows how)",
  ],
  ['redeliver --to', "option '--to <url>' argument missing (muster redeliver --help shows how)"],
  ['tail topic', "required option '--brokers <list>' not specified (muster tail --help shows how)"],
  [
    'sets --failed --overdue',
    "option '--overdue' cannot be used with option '--failed' (muster sets --help shows how)",
  ],
  [
    'doctor --decimals some',
    "option '--decimals <mode>' argument 'some' is invalid. Allowed choices are precise, string, double. (muster doctor --help shows how)",
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
  ['retry recordings', 'name the key of a set, or say --all'],
  ['retry recordings x --all', 'name the key of a set, or say --all'],
  ['resend recordings', 'name the key of a set, or say --all'],
  ['discard runs recordings', 'name the key of a set, or say --all'],
  ['discard events recordings x --all', 'name the key of a set, or say --all'],
  [
    'discard events recordings --all --event recordings/x/1/0',
    '--event is one event of a set: name the key of the set, and not --all',
  ],
  ['discard parked', 'name the numbers of parked events, or a --reason'],
  ['discard parked one', "id must be a whole number of 1 or more, not 'one'"],
  ['parked one', "id must be a whole number of 1 or more, not 'one'"],
  ['redeliver one', "id must be a whole number of 1 or more, not 'one'"],
  ['redeliver --dead-letters dead', '--dead-letters needs --brokers, or KAFKA_BROKERS'],
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
  ['doctor --pods some', "--pods must be a whole number of 1 or more, not 'some'"],
  [
    'doctor --source mysql://db/app',
    '--source must be a URL that begins with postgres:// or postgresql://',
  ],
  [
    'epoch bump postgres --since x',
    "--since must be a time with its zone, as in 2026-06-01T12:00:00Z, not 'x'",
  ],
  // Date.parse takes a number for a year, and a time without a zone for one of this machine
  [
    'epoch bump postgres --since 5',
    "--since must be a time with its zone, as in 2026-06-01T12:00:00Z, not '5'",
  ],
  [
    'epoch bump postgres --since 2026-06-01T12:00:00',
    "--since must be a time with its zone, as in 2026-06-01T12:00:00Z, not '2026-06-01T12:00:00'",
  ],
] as const)(
  'muster %s is a wrong call: exit code 2, and one line says what is wrong',
  async ([line, says]) => {
    const { code, stdout, stderr } = await muster({ DATABASE_URL }, line.split(' '));
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: `muster: ${says}\n` });
  },
);

test.for(['--version', '-V'])('muster %s prints the version of package.json', async (option) => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(await muster({}, [option])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

const isGroup = (name: string) => ['discard', 'epoch', 'source'].includes(name);

/** Every command by its name, those of a group by both of their names, as the help lists them. */
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

/** Commands that print no result of their own. */
const WITHOUT_JSON = new Set(['serve', 'console']);

test('every command takes --json, and answers a wrong option or one argument too many in one line', async () => {
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
        stderr: `muster: unknown option '--nonsense' (muster ${line} --help shows how)\n`,
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
});

test.for([
  ['help nothing', "unknown command 'nothing' (muster --help shows how)"],
  ['help stes', "unknown command 'stes'; did you mean sets? (muster --help shows how)"],
  [
    'help discard run',
    "unknown command 'run'; did you mean runs? (muster discard --help shows how)",
  ],
] as const)('muster %s names the mistake: exit code 2', async ([line, says]) => {
  expect(await muster({}, line.split(' '))).toEqual({
    code: 2,
    stdout: '',
    stderr: `muster: ${says}\n`,
  });
});

test('muster help prints the help of a command', async () => {
  const { code, stdout } = await muster({}, ['help', 'discard', 'runs']);
  expect([code, stdout.split('\n')[0]]).toEqual([
    0,
    'Usage: muster discard runs [options] <function> [key]',
  ]);
});
