import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('Node prints no warning of a disabled name, and all others', () => {
  const script = `
    import { disableWarning } from './src/lib/node-warnings.ts';
    disableWarning('Disabled');
    process.emitWarning('not printed', 'Disabled');
    process.emitWarning('printed', 'Other');
  `;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  expect(stderr).toContain('Other: printed');
  expect(stderr).not.toContain('not printed');
});
