import type { MetricsAnswer, SensorsAnswer } from '../api-answers.ts';

const API = '../api/travelers';

/** An error that the API returned. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** The invalid parameter, if the error concerns one. */
  readonly field: string | undefined;
  /** Whether a retry is pointless. */
  readonly isFinal: boolean;

  constructor(status: number, message: string, field?: string) {
    super(message);
    this.field = field;
    this.isFinal = status >= 400 && status < 500;
  }
}

/** Reads the error from a response. */
export async function apiErrorOf(response: Response): Promise<ApiError> {
  const { status } = response;
  try {
    const { error, field } = (await response.json()) as { error: string; field?: string };
    return new ApiError(status, error, field);
  } catch {
    return new ApiError(status, `the server returned status ${status}`);
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
  if (!response.ok) throw await apiErrorOf(response);
  return (await response.json()) as T;
}
