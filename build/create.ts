/** `npm create musterjs [folder]`: `muster init` as a package of its own, without the dependencies of Muster. */
import { parseArgs } from 'node:util';
import { run } from '../src/cli/init.ts';

const { values, positionals } = parseArgs({
  strict: true,
  options: { yes: { type: 'boolean' }, package: { type: 'string' } },
  allowPositionals: true,
});
await run(positionals[0], {
  ...(values.yes === true && { yes: true }),
  ...(values.package !== undefined && { package: values.package }),
});
