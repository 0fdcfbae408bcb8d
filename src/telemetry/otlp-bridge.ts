import type {
  CollectionResult,
  DataPoint,
  Histogram,
  MetricData,
  MetricProducer,
} from '@opentelemetry/sdk-metrics';
import { AggregationTemporality, DataPointType } from '@opentelemetry/sdk-metrics';
import { ValueType, type HrTime } from '@opentelemetry/api';
import type { MetricObjectWithValues, MetricValue, Registry } from 'prom-client';

/** Metrics of `/metrics` that the semantic conventions name, with the attributes that they require. */
const CONVENTIONS: Readonly<
  Record<string, { readonly name: string; readonly attributes: Readonly<Record<string, string>> }>
> = {
  muster_events_total: {
    name: 'messaging.client.consumed.messages',
    attributes: { 'messaging.operation.name': 'process' },
  },
  muster_run_seconds: {
    name: 'messaging.process.duration',
    attributes: { 'messaging.operation.name': 'run' },
  },
  muster_outbox_total: {
    name: 'messaging.client.sent.messages',
    attributes: { 'messaging.operation.name': 'send' },
  },
};

type Family = MetricObjectWithValues<MetricValue<string>>;

/**
 * Converts the metrics of `/metrics` to OTLP, re-read for each export, so that the hot path updates only one
 * set of counters. `muster_runs_total` becomes `muster.runs`, and a label `function` becomes
 * `muster.function`.
 */
export function registryProducer(registry: Registry): MetricProducer {
  const since = toHrTime(performance.timeOrigin);
  return {
    async collect() {
      const now = toHrTime(Date.now());
      const families = (await registry.getMetricsAsJSON()) as Family[];
      const metrics = families
        .map((family) => toMetric(family, since, now))
        .filter(({ dataPoints }) => dataPoints.length > 0);
      const scopeMetrics = [{ scope: { name: 'muster' }, metrics }];
      // The reader replaces it with the resource of the process.
      const resource = {} as CollectionResult['resourceMetrics']['resource'];
      return { resourceMetrics: { resource, scopeMetrics }, errors: [] };
    },
  };
}

function toMetric(family: Family, startTime: HrTime, endTime: HrTime): MetricData {
  const { name, help, type } = family;
  const known = CONVENTIONS[name];
  const seconds = name.endsWith('_seconds');
  const descriptor = {
    name: known?.name ?? name.replace(/_total$|_seconds$/, '').replace('_', '.'),
    description: help,
    unit: seconds ? 's' : '',
    valueType: ValueType.DOUBLE,
  };
  const point = <T>(labels: MetricValue<string>['labels'], value: T): DataPoint<T> => {
    const own = Object.entries(labels).map(([label, text]) => [`muster.${label}`, text]);
    const attributes = { ...known?.attributes, ...Object.fromEntries(own) };
    return { startTime, endTime, attributes, value };
  };
  const common = { descriptor, aggregationTemporality: AggregationTemporality.CUMULATIVE };
  const points = () => family.values.map(({ labels, value }) => point(labels, value));
  // At run time `type` is a text such as 'counter', although it is declared as an enum of numbers.
  switch (String(type)) {
    case 'histogram':
      return {
        ...common,
        dataPointType: DataPointType.HISTOGRAM,
        dataPoints: histogramsOf(family).map(({ labels, value }) => point(labels, value)),
      };
    case 'gauge':
      return { ...common, dataPointType: DataPointType.GAUGE, dataPoints: points() };
    default:
      return {
        ...common,
        dataPointType: DataPointType.SUM,
        isMonotonic: true,
        // A point carries its start time, so that no 0 is needed before the first increment.
        dataPoints: points().filter(({ value }) => value !== 0),
      };
  }
}

/** prom-client has one line per bucket, whose count includes all lower buckets. */
function histogramsOf({ name, values }: Family) {
  const lines = values as (MetricValue<string> & { metricName: string })[];
  const series = Map.groupBy(lines, ({ labels }) => JSON.stringify({ ...labels, le: undefined }));
  return [...series].map(([labels, of]) => {
    const single = (what: string) =>
      of.find(({ metricName }) => metricName === `${name}_${what}`)?.value ?? 0;
    const buckets = of.filter(({ labels: { le } }) => le !== undefined);
    const upTo = buckets.map(({ value }) => value);
    const value: Histogram = {
      buckets: {
        boundaries: buckets.map(({ labels: { le } }) => Number(le)).filter(Number.isFinite),
        counts: upTo.map((count, i) => count - (upTo[i - 1] ?? 0)),
      },
      sum: single('sum'),
      count: single('count'),
    };
    return { labels: JSON.parse(labels) as Record<string, string>, value };
  });
}

function toHrTime(ms: number): HrTime {
  return [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
}
