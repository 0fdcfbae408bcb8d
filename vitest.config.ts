import { defineConfig } from 'vitest/config';
import { LongFilesFirst } from './test/support/sequencer.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/server.ts',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    sequence: { sequencer: LongFilesFirst },
    execArgv: ['--disable-warning=TimeoutNegativeWarning'], // kafkajs, as in src/cli/run-command.ts
  },
});
