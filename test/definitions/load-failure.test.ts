import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MUSTER } from '../cli/command.ts';
import { TestProcess } from '../support/process.ts';

const home = mkdtempSync(join(tmpdir(), 'muster-load-test-'));

beforeAll(() => {
  symlinkSync(resolve('src'), join(home, 'src'));
  mkdirSync(join(home, 'functions/folder'), { recursive: true });
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const IMPORT = `import { defineFunction } from '../src/function.ts';\n`;

test.for([
  [
    'a syntax error',
    { 'broken.ts': `${IMPORT}\nexport default defineFunction({\n  name: 'broken',,\n});\n` },
    'functions/broken.ts:4: Unexpected token `,`.',
  ],
  [
    'a syntax error in a file that it imports',
    { 'broken.ts': `import './folder/part.ts';\n`, 'folder/part.ts': `\n\nconst a = ;\n` },
    'functions/folder/part.ts:3: Expression expected',
  ],
  [
    'TypeScript that is more than types',
    { 'broken.ts': `\nenum Kind { a }\n` },
    'functions/broken.ts:2: TypeScript enum is not supported in strip-only mode',
  ],
  [
    'a name that is not exported',
    {
      'broken.ts': `\nimport { defineFunctoin } from '../src/function.ts';\ndefineFunctoin();\n`,
    },
    "functions/broken.ts:2: The requested module '../src/function.ts' does not provide an export named 'defineFunctoin'",
  ],
  [
    'an import of a missing file',
    { 'broken.ts': `import './nowhere.ts';\n` },
    `Error: Cannot find module '${home}/functions/nowhere.ts' imported from ${home}/functions/broken.ts`,
  ],
  [
    'an error that it throws',
    { 'broken.ts': `const none: { a?: { b: number } } = {};\nnone.a!.b;\n` },
    "functions/broken.ts:2: TypeError: Cannot read properties of undefined (reading 'b')",
  ],
] as const)(
  'a function with %s is reported with its file and line, and exit code 1',
  async ([, files, says]) => {
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(home, 'functions', name), text);
    }
    for (const command of ['serve', 'migrate']) {
      const child = new TestProcess(MUSTER, [command], {
        FUNCTIONS_FOLDER: join(home, 'functions'),
        DATABASE_URL: 'postgres://muster@127.0.0.1:1/state',
      });
      const { code } = await child.exited;
      expect([code, child.stderr]).toEqual([
        1,
        expect.stringContaining(`muster: functions/broken.ts:\n  ${says}`),
      ]);
    }
  },
);
