import { expect, test } from 'vitest';
import { httpSink } from '../../src/publish/sink.ts';
import { sinkServer } from '../support/sink.ts';

test('integers beyond 2^53 are sent with the digits the handler gave', async () => {
  const server = await sinkServer();
  const data = '{"id":9007199254740993,"more":[9007199254740993,1.5,"x",null]}';
  const event = {
    id: 'pair/x/1/0',
    key: 'x',
    source: '/muster/pair',
    type: 'pair.done',
    subject: 'x',
    time: new Date(0),
    data,
  };
  const { signal } = new AbortController();
  expect(await httpSink(server.url, {}).send(event, signal)).toEqual({
    kind: 'sent',
    status: 202,
  });
  expect(server.bodies).toEqual([data]);
});
