/** The commands of the guides that change what is in a cluster, on an API server. Nothing runs there. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blockOf } from '../support/blocks.ts';
import { commandsOf } from '../support/shell.ts';
import { ApiServer, obstacle } from './api-server/api-server.ts';
import { Project } from './project.ts';

const RELEASE = blockOf(
  'knative/README.md: kubectl -n muster delete job migrate --ignore-not-found',
);
const DELIVER_AGAIN = blockOf('docs/operating.md: kubectl -n muster delete kafkasource recordings');
const RESTART = blockOf(
  'docs/security.md: kubectl -n muster rollout restart deployment/recordings',
);

const RECORDINGS = `defineFunction({
  name: 'recordings',
  parts: { eeg: { table: 'datastore.signal', key: 'recording' } },
  handle() {},
})`;

/** The arguments of kubectl in a block. */
function commandsIn(block: string): string[][] {
  return commandsOf(block).map(({ words }) => words.slice(1));
}

const problem = obstacle();
if (problem !== null) {
  if (process.env['REQUIRE_STACK'] === '1') throw new Error(problem);
  process.stderr.write(`skipping the manifests on an API server: ${problem}\n`);
}

describe.skipIf(problem !== null)('on an API server', () => {
  const project = new Project({ recordings: RECORDINGS });
  let server: ApiServer;
  const kubectl = (words: readonly string[]) => {
    const args = words.map((word) => word.replace('<overlay>', project.path('manifests')));
    const { stdout, stderr } = server.kubectl(args);
    return { stdout: stdout.trim().split('\n'), stderr };
  };
  const apply = () => kubectl(['apply', '-k', '<overlay>']);

  beforeAll(async () => {
    server = await ApiServer.start();
    expect(await project.manifests()).toMatchObject({ code: 0, stderr: '' });
    expect(apply()).toMatchObject({ stderr: '' });
  }, 90_000);
  afterAll(async () => {
    project[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  test('the Job of another release is refused until the previous one is deleted', async () => {
    expect(await project.manifests('--image=registry.example.com/recordings:2')).toMatchObject({
      code: 0,
    });
    expect(apply().stderr).toMatch(
      /^The Job "migrate" is invalid: spec\.template: .*field is immutable/s,
    );

    const [remove, applyAll, status] = commandsIn(RELEASE) as [string[], string[], string[]];
    expect(kubectl(remove)).toEqual({
      stdout: [expect.stringMatching(/^job\.batch "migrate" deleted/)],
      stderr: '',
    });
    expect(kubectl(remove)).toEqual({ stdout: [''], stderr: '' });
    const applied = kubectl(applyAll);
    expect(applied.stderr).toBe('');
    expect(applied.stdout).toContain('job.batch/migrate created');
    // it waits for the pods, which nobody starts here
    expect(kubectl([...status, '--timeout=1s']).stdout[0]).toMatch(/^Waiting for deployment/);
  });

  test('a deleted KafkaSource is created again, and others stay', () => {
    const [remove, applyAll] = commandsIn(DELIVER_AGAIN) as [string[], string[]];
    expect(kubectl(remove).stdout).toEqual([
      expect.stringMatching(/^kafkasource\.sources\.knative\.dev "recordings" deleted/),
    ]);
    const { stdout, stderr } = kubectl(applyAll);
    expect(stderr).toBe('');
    expect(stdout).toContain('kafkasource.sources.knative.dev/recordings created');
    expect(stdout).toContain('job.batch/migrate unchanged');
  });

  test('a restart changes the pods of a Deployment', () => {
    const [restart] = commandsIn(RESTART) as [string[]];
    expect(kubectl(restart)).toEqual({
      stdout: ['deployment.apps/recordings restarted'],
      stderr: '',
    });
  });
});
