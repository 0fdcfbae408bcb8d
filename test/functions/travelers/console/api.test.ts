import { expect } from 'vitest';
import type {
  MetricsAnswer,
  SensorsAnswer,
} from '../../../../functions/travelers/console/api-answers.ts';
import { metrics } from '../../../../functions/travelers/query/metrics.ts';
import type { Failure } from '../../../../src/console/plugin.ts';
import { consoleOn } from '../../../support/console.ts';
import { test, type TestDatabase } from '../../../support/test.ts';
import { ask } from '../compare.ts';
import { streamOn } from '../stream.ts';
import { street } from '../street.ts';

/** Five minutes at sensors 17 and 18, from 8 o'clock; sensor 19 sends only in the first minute. */
const FROM = Date.UTC(2026, 10, 20, 8);
const MINUTE = 60_000;
const TO = FROM + 5 * MINUTE;
const RANGE = 'from=2026-11-20T08:00:00Z&to=2026-11-20T08:05:00Z';

/** Makes all five minutes final, or all but the last 5 s. */
async function given(db: TestDatabase, end: 'final' | 'provisional' = 'final') {
  const stream = await streamOn(db);
  const early = street([19], FROM, FROM + MINUTE, { seed: 2 });
  const all = [...street([17, 18], FROM, TO), ...early];
  await stream.give(
    0,
    all.toSorted((a, b) => a.at - b.at),
  );
  if (end === 'final') await stream.finish(TO * 1000);
  else await stream.settled();
  return { stream, ...(await consoleOn(db)) };
}

test("the API's numbers equal those of the fold, for each series and window", async ({ db }) => {
  const { url } = await given(db);
  const response = await fetch(
    `${url}/api/travelers/metrics?${RANGE}&step=60s&window=90s&group=sensor,type&sensor=17,18`,
  );
  const answer = (await response.json()) as MetricsAnswer;
  const { steps } = await ask(db, (tx) =>
    metrics(tx, {
      sensors: [17, 18],
      types: ['pedestrian', 'bicyclist', 'vehicle'],
      from: FROM,
      to: TO,
      stepMs: MINUTE,
      windowMs: 1.5 * MINUTE,
      groupBy: { sensor: true, type: true },
    }),
  );
  expect(answer.ends.map(Date.parse)).toEqual(steps.map((step) => step.end));
  expect(answer.provisional).toEqual([false, false, false, false, false]);
  expect(answer.series.map(({ sensor, type }) => `${sensor} ${type}`)).toEqual([
    '17 pedestrian',
    '17 bicyclist',
    '17 vehicle',
    '18 pedestrian',
    '18 bicyclist',
    '18 vehicle',
  ]);
  for (const [i, series] of answer.series.entries()) {
    const truth = steps.map((step) => step.series[i]!);
    expect(series.present).toEqual(truth.map((each) => each.present));
    expect(series.entered).toEqual(truth.map((each) => each.entered));
    expect(series.left).toEqual(truth.map((each) => each.left));
    for (const name of ['min', 'average', 'max', 'p50', 'p85', 'p95'] as const) {
      expect(series.speed[name]).toEqual(truth.map((each) => each.speed?.[name] ?? null));
    }
  }
  expect(answer.series.some((each) => each.present.some((count) => count! > 5))).toBe(true);
});

test('a sensor without samples is null; one without travelers of a type is 0', async ({ db }) => {
  const stream = await streamOn(db);
  const [first] = street([5], FROM, FROM + MINUTE);
  await stream.give(0, [{ ...first!, type: 'vehicle' }]);
  await stream.finish(FROM * 1000 + 2 * MINUTE * 1000);
  const { url } = await consoleOn(db);
  const to = '2026-11-20T08:02:00Z';
  const answer = await get<MetricsAnswer>(
    `${url}/api/travelers/metrics?from=2026-11-20T08:00:00Z&to=${to}&sensor=5&type=vehicle,bicyclist&group=type`,
  );
  const nobody = { min: [null, null], average: [null, null], max: [null, null] };
  expect(answer.series).toMatchObject([
    { type: 'bicyclist', present: [0, null], entered: [0, null], left: [0, null], speed: nobody },
    { type: 'vehicle', present: [1, null], entered: [1, null], left: [1, null], speed: nobody },
  ]);
});

test('CSV is selected by Accept or by format, with the same numbers', async ({ db }) => {
  const { url } = await given(db);
  const query = `${RANGE}&sensor=17,18&group=type&tz=Europe/Berlin`;
  const json = await get<MetricsAnswer>(`${url}/api/travelers/metrics?${query}`);
  const response = await fetch(`${url}/api/travelers/metrics?${query}`, {
    headers: { accept: 'application/json;q=0.5, text/*' },
  });
  expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
  expect(response.headers.get('content-disposition')).toBe(
    'attachment; filename="travelers-2026-11-20T0900.csv"',
  );
  const text = await response.text();
  const [head, ...lines] = text.trimEnd().split('\r\n');
  expect(head).toBe(
    'window_start,window_end,sensor,type,present,entered,left,speed_min_ft_per_s,speed_average_ft_per_s,speed_max_ft_per_s,speed_p50_ft_per_s,speed_p85_ft_per_s,speed_p95_ft_per_s,provisional',
  );
  expect(lines).toHaveLength(15);
  const [pedestrians] = json.series;
  const { min, average, max, p50, p85, p95 } = pedestrians!.speed;
  expect(lines[0]).toBe(
    [
      '2026-11-20T09:00:00+01:00,2026-11-20T09:01:00+01:00,"17,18",pedestrian',
      ...[pedestrians!.present, pedestrians!.entered, pedestrians!.left].map(([value]) => value),
      ...[min, average, max, p50, p85, p95].map(([value]) => value),
      false,
    ].join(','),
  );
  const named = await fetch(`${url}/api/travelers/metrics?${query}&format=csv`);
  expect(await named.text()).toBe(text);
  const neither = await fetch(`${url}/api/travelers/metrics?${query}`, {
    headers: { accept: 'image/png' },
  });
  expect([neither.status, await neither.json()]).toEqual([
    406,
    { error: 'only application/json and text/csv are available', reason: 'not-acceptable' },
  ]);
});

test('Accept decides between JSON and CSV (RFC 9110, 12.5.1)', async ({ db }) => {
  const { url } = await consoleOn(db);
  const typeFor = async (accept: string | null) => {
    const headers = new Headers(accept === null ? {} : { accept });
    const response = await fetch(`${url}/api/travelers/metrics`, { headers });
    return response.status === 406 ? null : response.headers.get('content-type')!.split(';')[0];
  };
  for (const [accept, type] of [
    [null, 'application/json'],
    ['*/*', 'application/json'],
    ['text/csv', 'text/csv'],
    ['text/*', 'text/csv'],
    ['TEXT/CSV;q=1.0', 'text/csv'],
    ['application/json;q=0.1, text/csv', 'text/csv'],
    ['application/json, text/csv', 'application/json'],
    ['*/*;q=0.5, application/json;q=0', 'text/csv'],
    ['application/*;q=0, */*', 'text/csv'],
    ['text/html, */*;q=0.1', 'application/json'],
    ['image/png', null],
    ['text/csv;q=nonsense', null],
  ] as const) {
    expect([accept, await typeFor(accept)]).toEqual([accept, type]);
  }
});

test('times without an offset are in tz, and steps are aligned to from', async ({ db }) => {
  const { url } = await given(db);
  const { tz, ends } = await get<MetricsAnswer>(
    `${url}/api/travelers/metrics?from=2026-11-20T09:00:30&to=2026-11-20T09:04&step=1m&tz=Europe/Berlin`,
  );
  expect(tz).toBe('Europe/Berlin');
  expect(ends).toEqual([
    '2026-11-20T09:01:30+01:00',
    '2026-11-20T09:02:30+01:00',
    '2026-11-20T09:03:30+01:00',
  ]);
});

test.for([
  ['sensor=17,x', 'sensor', "sensor must be 'all' or numbers separated by commas, not 'x'"],
  ['sensor=99', 'sensor', 'sensor 99 is unknown: it has not been heard yet'],
  ['type=car', 'type', "type must be one or more of pedestrian, bicyclist, vehicle, not 'car'"],
  ['group=color', 'group', "group must be one or more of sensor, type, not 'color'"],
  ['step=1w', 'step', "step must be a duration in s, m, h or d, from 1s to 31d, not '1w'"],
  ['step=0s', 'step', "step must be a duration in s, m, h or d, from 1s to 31d, not '0s'"],
  ['window=8d', 'window', "window must be a duration in s, m, h or d, from 1s to 7d, not '8d'"],
  ['tz=Mars/Base', 'tz', "tz must be a time zone such as Europe/Berlin or UTC, not 'Mars/Base'"],
  ['from=2026-02-30', 'from', /^from must be a time such as 2026-11-21T08:00:00Z.*'2026-02-30'$/],
  ['from=yesterday', 'from', /^from must be a time/],
  ['from=2026-11-20T08:00:00.5Z', 'from', /^from must be a whole second/],
  ['from=2026-11-20&to=2026-11-19', 'to', 'to must be after from (2026-11-20T00:00:00Z)'],
  [
    'from=2026-11-20T08:00Z&to=2026-11-20T08:00:30Z',
    'step',
    /not be longer than the range from … to, which is 30s$/,
  ],
  [
    'from=2026-01-01&to=2026-12-31&step=1s',
    'step',
    /^step makes \d+ points .* the maximum of 200000: use a step of 5m$/,
  ],
  ['sensors=17', 'sensors', 'sensors is not a known parameter'],
  ['format=xml', 'format', 'format must be equal to one of the allowed values'],
] as const)('%s is refused with 400, naming %s', async ([query, field, error], { db }) => {
  const { url } = await consoleOn(db);
  const response = await fetch(`${url}/api/travelers/metrics?${query}`);
  const failure = (await response.json()) as Failure;
  expect([response.status, failure.reason, failure.field]).toEqual([400, 'bad-request', field]);
  expect(typeof error === 'string' ? failure.error === error : error.test(failure.error)).toBe(
    true,
  );
});

test('/sensors lists the sensors, up to when numbers are final, and late samples', async ({
  db,
}) => {
  const { url, stream } = await given(db);
  const [late] = street([18], FROM, FROM + MINUTE);
  await stream.give(0, [late!]);
  await stream.settled();
  const answer = await get<SensorsAnswer>(`${url}/api/travelers/sensors`);
  const seen = answer.sensors.filter(({ id }) => id < 100);
  expect(seen.map(({ id, late: samples }) => [id, samples])).toEqual([
    [17, 0],
    [18, 1],
    [19, 0],
  ]);
  expect(Date.parse(seen[2]!.lastHeard)).toBeLessThan(FROM + MINUTE);
  expect(Date.parse(answer.finalTo!)).toBeGreaterThanOrEqual(TO);
});

test('final windows are cacheable for a day, provisional ones are revalidated, and 304 has no body', async ({
  db,
}) => {
  const { url } = await given(db, 'provisional');
  const all = `${url}/api/travelers/metrics?${RANGE}&step=10s`;
  const early = `${url}/api/travelers/metrics?from=2026-11-20T08:00:00Z&to=2026-11-20T08:04:00Z`;
  const [provisional, final] = [await fetch(all), await fetch(early)];
  expect(((await provisional.clone().json()) as MetricsAnswer).provisional.at(-1)).toBe(true);
  expect(provisional.headers.get('cache-control')).toBe('no-cache');
  expect(final.headers.get('cache-control')).toBe('max-age=86400');
  expect(final.headers.get('vary')).toBe('accept, accept-encoding');
  const tag = final.headers.get('etag')!;
  expect(tag).toMatch(/^W\/"[\w-]+"$/);
  const again = await fetch(early, { headers: { 'if-none-match': `"other", ${tag}` } });
  expect([again.status, await again.text(), again.headers.get('etag')]).toEqual([304, '', tag]);
  const csv = await fetch(`${early}&format=csv`, { headers: { 'if-none-match': tag } });
  expect(csv.status).toBe(200);
});

async function get<T>(url: string): Promise<T> {
  const response = await fetch(url);
  expect([url, response.status]).toEqual([url, 200]);
  return (await response.json()) as T;
}
