import { defineConfig } from 'vitest/config';

/** For `npm run test:cluster`. It needs a cluster, so `npm test` does not include it. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.scene.ts'],
    // times in one file are part of its scenes
    fileParallelism: false,
    testTimeout: 900_000,
    reporters: [['default', { summary: false }]],
    disableConsoleIntercept: true,
    // kafkajs sets negative timeouts
    execArgv: ['--disable-warning=TimeoutNegativeWarning'],
  },
});
