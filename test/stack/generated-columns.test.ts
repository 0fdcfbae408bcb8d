import { expect } from 'vitest';
import { publication } from '../../src/doctor/source/publication.ts';
import { identity } from '../../src/doctor/source/source-tables.ts';
import type { FunctionDefinition } from '../../src/function.ts';
import { applyRemedies, reportOf, sourceOf } from '../doctor/examination.ts';
import { until } from '../support/until.ts';
import { test } from './support/test.ts';

const lab: FunctionDefinition = {
  name: 'lab',
  parts: { a: { table: 'public.sample', key: 'lot', where: { code: 'BLOOD' } } },
  handle() {},
};

test(
  "a stored generated column arrives once the doctor's advice is followed, also after a restart of the connector and under a full identity",
  { timeout: 120_000 },
  async ({ pipeline }) => {
    await pipeline.prepare();
    await pipeline.client.query(`create table sample (id int primary key, lot int, kind text,
      code text generated always as (upper(kind)) stored)`);
    const topic = `${pipeline.name}.public.sample`;
    await (await pipeline.stack.broker()).createTopic(topic, 1);
    const config = { 'table.include.list': 'public.sample' };
    const connect = await pipeline.ownConnect(config);
    const written = async (count: number) => {
      await until(async () => (await pipeline.records(topic)).length >= count, 40_000);
      const { value } = (await pipeline.records(topic))[count - 1]!;
      return (JSON.parse(value!) as { after: Record<string, unknown> }).after;
    };
    await pipeline.client.query(`insert into sample values (1, 1, 'blood')`);
    expect(await written(1)).not.toHaveProperty('code');

    const context = await sourceOf(pipeline.db, [lab], { publication: pipeline.name });
    expect(await reportOf(publication, context)).toEqual([
      `✗ ${pipeline.name} does not send code (generated) of public.sample`,
    ]);
    await applyRemedies(publication, context, pipeline.db);
    await pipeline.client.query(`insert into sample values (2, 1, 'blood')`);
    expect(await written(2)).toMatchObject({ code: 'BLOOD' });

    await connect.kill();
    await connect.restart();
    await pipeline.client.query('alter table sample replica identity full');
    expect(await reportOf(identity, context)).toEqual(['✓ public.sample: full']);
    await pipeline.client.query(`update sample set lot = 2 where id = 1`);
    await until(
      async () => (await pipeline.records(topic)).at(-1)?.value?.includes('"lot":2') ?? false,
    );
    const all = await pipeline.records(topic);
    expect(await written(all.length)).toMatchObject({ id: 1, lot: 2, code: 'BLOOD' });
  },
);
