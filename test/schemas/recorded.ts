/** Serializes an envelope without what differs between two connectors that read the same log. */
export function withoutTimes(value: unknown): unknown {
  const {
    ts_ms: _ms,
    ts_us: _us,
    ts_ns: _ns,
    ...envelope
  } = JSON.parse(
    JSON.stringify(value, (_, each) => (JSON.isRawJSON(each) ? `integer ${each.rawJSON}` : each)),
  ) as Record<string, unknown>;
  const source = { ...(envelope['source'] as object), name: null, sequence: null };
  return { ...envelope, source };
}
