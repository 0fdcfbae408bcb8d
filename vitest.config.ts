import { configDefaults, defineConfig } from 'vitest/config';
import { LongFilesFirst } from './test/support/sequencer.ts';

/** `npm test` leaves the tests of what surrounds the code to `npm run test:tools`, but the gate runs all together. */
const { npm_lifecycle_event: script, REQUIRE_STACK: isGate } = process.env;
const left = script === 'test' && isGate !== '1' ? ['test/{package,dev,bench}/**'] : [];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...left],
    globalSetup: 'test/support/server.ts',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    sequence: { sequencer: LongFilesFirst },
    execArgv: ['--disable-warning=TimeoutNegativeWarning'], // kafkajs, as in src/cli/run-command.ts
  },
});
