import type { MetricsAnswer, SensorsAnswer } from '../contract.ts';

const API = '../api/travelers';

/** The API said no. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  /** The parameter that is wrong. */
  readonly field: string | undefined;
  /** The same question gets the same answer. */
  readonly isFinal: boolean;

  constructor(status: number, message: string, field?: string) {
    super(message);
    this.field = field;
    this.isFinal = status >= 400 && status < 500;
  }
}

export async function refusalOf(response: Response): Promise<Refusal> {
  const { status } = response;
  try {
    const { error, field } = (await response.json()) as { error: string; field?: string };
    return new Refusal(status, error, field);
  } catch {
    return new Refusal(status, `the server answers ${status}`);
  }
}

export function liveUrl(parameters: URLSearchParams): string {
  return `${API}/live?${parameters}`;
}

export function metricsUrl(parameters: URLSearchParams): string {
  return `${API}/metrics?${parameters}`;
}

export async function fetchMetrics(
  parameters: URLSearchParams,
  signal: AbortSignal,
): Promise<MetricsAnswer> {
  return get<MetricsAnswer>(metricsUrl(parameters), signal);
}

export async function fetchSensors(): Promise<SensorsAnswer> {
  return get<SensorsAnswer>(`${API}/sensors`);
}

async function get<T>(url: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(url, {
    headers: { accept: 'application/json' },
    ...(signal === undefined ? {} : { signal }),
  });
  if (!response.ok) throw await refusalOf(response);
  return (await response.json()) as T;
}
