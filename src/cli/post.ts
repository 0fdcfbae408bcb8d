/** Posts one event; throws if there is no answer. */
export async function post(
  url: string,
  headers: Record<string, string>,
  body: string | Buffer,
): Promise<{ status: number; text: string }> {
  try {
    const response = await fetch(url, { method: 'POST', headers, body });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    // of several addresses that were all tried, the error says nothing but its code
    const why =
      cause instanceof Error ? cause.message || (cause as { code?: string }).code : String(cause);
    throw new Error(`${url} can't be reached: ${why}`, { cause: error });
  }
}
