const AGAIN_MS = 500;

/** Does something until it succeeds or is void; what goes wrong is told. */
export async function persistently(
  work: () => Promise<void>,
  isVoid: () => boolean,
  onError: (error: unknown) => void,
): Promise<void> {
  while (!isVoid()) {
    try {
      return await work();
    } catch (error) {
      if (isVoid()) return;
      onError(error);
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
