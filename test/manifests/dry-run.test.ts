/** What `muster manifests` generates, as an API server with the definitions of Knative and KEDA validates it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiServer, obstacle } from './api-server/api-server.ts';
import { accepted, dryRun } from './api-server/dry-run.ts';
import { GENERATED, Project } from './project.ts';
import { render } from './render.ts';

const problem = obstacle();
if (problem !== null) {
  if (process.env['REQUIRE_STACK'] === '1') throw new Error(problem);
  process.stderr.write(`skipping the dry run of the manifests: ${problem}\n`);
}

/** A function whose parts are events: a Trigger for each type, and one whose type makes no name. */
const APPROVALS = `defineFunction({
  name: 'approvals',
  parts: {
    asked: { event: 'com.shop.asked', key: 'subject' },
    approved: {
      event: 'com.shop.Approved/v2',
      key: 'subject',
      id: ['subject'],
      version: 'time',
      deletedBy: 'com.shop.revoked',
    },
    row: { table: 'shop.payment', key: 'order_id' },
  },
  handle() {},
})`;

describe.skipIf(problem !== null)('in a dry run', () => {
  let server: ApiServer;
  beforeAll(async () => {
    server = await ApiServer.start();
  }, 90_000);
  afterAll(() => server[Symbol.asyncDispose]());

  test.each(Object.entries(GENERATED))('%s: every object is accepted', async (_name, args) => {
    using project = new Project();
    expect(await project.manifests(...args)).toMatchObject({ code: 0 });
    const objects = render(project.path('manifests'));
    expect(objects.length).toBeGreaterThan(5);
    expect(dryRun(server, objects)).toEqual(accepted(objects));
  });

  test.each(['deployment', 'knative-service'])(
    'Triggers of a %s are accepted',
    async (workload) => {
      using project = new Project({ approvals: APPROVALS });
      expect(await project.manifests(`--workload=${workload}`)).toMatchObject({ code: 0 });
      const objects = render(project.path('manifests'));
      expect(objects.filter(({ kind }) => kind === 'Trigger')).toHaveLength(3);
      expect(dryRun(server, objects)).toEqual(accepted(objects));
    },
  );

  test.each(['knative/base', 'keda', 'knative/kn'])('%s: every object is accepted', (folder) => {
    const objects = render(folder);
    expect(dryRun(server, objects)).toEqual(accepted(objects));
  });

  test('an unknown field, a wrong type and a pod with rights are refused', () => {
    const objects = render('knative/kn');
    const ping = objects.find(({ kind }) => kind === 'PingSource')!;
    const { sink } = ping['spec'];
    expect(dryRun(server, [{ ...ping, spec: { sink, schedul: '* * * * *' } }]).errors).toContain(
      'unknown field "spec.schedul"',
    );
    expect(dryRun(server, [{ ...ping, spec: { sink, schedule: 5 } }]).errors).toContain(
      'spec.schedule',
    );
    const [deployment] = render('knative/base').filter(({ kind }) => kind === 'Deployment');
    const { securityContext: _, ...pod } = deployment!['spec'].template.spec;
    const template = { ...deployment!['spec'].template, spec: pod };
    const spec = { ...deployment!['spec'], template };
    expect(dryRun(server, [{ ...deployment!, spec }]).errors).toContain(
      'would violate PodSecurity',
    );
  });
});
