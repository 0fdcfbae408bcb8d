/** The JSON log lines of Muster's processes, as a person reads them. */

const LEVELS: Readonly<Record<number, string>> = {
  30: '',
  40: 'warning: ',
  50: 'error: ',
  60: 'error: ',
};
/** Fields that are the same in all lines, or shown otherwise. */
const HIDDEN = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'at']);

/** Messages that do not concern somebody who has started `muster dev`. */
const USUAL =
  /^(?:serving|stopping|stopped|this process is stopping|Server listening at .*|anybody who reaches .*)$/;

/** Returns `12:30:01 warning: the message  function=orders`, a line that is no log line as it is, null for a usual one. */
export function readable(line: string): string | null {
  const fields = parsed(line);
  if (fields === null) return line;
  if (USUAL.test(String(fields['msg']))) return null;
  const { level, time, msg } = fields;
  const rest = Object.entries(fields).flatMap(([name, value]) =>
    HIDDEN.has(name)
      ? []
      : [`${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`],
  );
  const at = new Date(Number(time)).toTimeString().slice(0, 8);
  const first = [
    `${at} ${LEVELS[Number(level)] ?? ''}${typeof msg === 'string' ? msg : ''}`,
    ...rest,
  ].join('  ');
  return [first, ...ownFrames(fields['at'])].join('\n    ');
}

/** Returns the frames of an error in the user's own files. */
function ownFrames(at: unknown): string[] {
  const frames = Array.isArray(at) ? at.map(String) : [];
  return frames.filter(
    (frame) => /[/\\]/.test(frame) && !/[/\\]node_modules[/\\]|\bnode:/.test(frame),
  );
}

function parsed(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{"level":')) return null;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
}
