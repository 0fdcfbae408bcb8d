/** `npm create musterjs [folder]`: `muster init` as a package of its own, without the dependencies of Muster. */
import { parseArgs } from 'node:util';
import { run } from '../src/cli/init.ts';

const options = { yes: { type: 'boolean' }, package: { type: 'string' } } as const;
try {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  await run(positionals[0], {
    ...(values.yes === true && { yes: true }),
    ...(values.package !== undefined && { package: values.package }),
  });
} catch (error) {
  process.stderr.write(`create-musterjs: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
