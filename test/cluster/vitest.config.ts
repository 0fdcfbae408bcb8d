import { defineConfig } from 'vitest/config';

/** `npm run test:cluster`: needs a cluster, so `npm test` knows nothing of it. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.scene.ts'],
    testTimeout: 900_000,
    reporters: [['default', { summary: false }]],
    disableConsoleIntercept: true,
    // kafkajs asks for such time-outs
    execArgv: ['--disable-warning=TimeoutNegativeWarning'],
  },
});
