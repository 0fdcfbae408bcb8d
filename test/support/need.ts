/** Skips a test that lacks something, for this reason; fails it instead if REQUIRE_STACK is 1. */
export function need(problem: string | null, skip: (note: string) => void): void {
  if (problem === null) return;
  if (process.env['REQUIRE_STACK'] === '1') throw new Error(problem);
  skip(problem);
}
