/** The versions of Node that Muster runs on: others do not strip the types of a function's file by themselves, or are no longer maintained. */
export const NODE = '^22.18.0 || >=24.0.0';

/** Returns what to do about a version of Node that Muster does not run on, or null. */
export function nodeProblem(version: string): string | null {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major >= 24 || (major === 22 && minor >= 18)
    ? null
    : `Node ${version} is not supported: install Node 24 or newer, or 22.18 or a later 22`;
}
