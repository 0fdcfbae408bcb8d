import { spawnSync } from 'node:child_process';

/** Runs a program of this machine. Returns what it printed; throws with the last line that it printed about an error. */
export function runTool(
  program: string,
  args: readonly string[],
  { cwd, input }: { readonly cwd?: string; readonly input?: Uint8Array } = {},
): Buffer {
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    cwd,
    input,
    maxBuffer: 1 << 28,
  });
  if (error !== undefined) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw isAbsent ? new Error(`${program} is not installed`, { cause: error }) : error;
  }
  if (status === 0) return stdout;
  throw new Error(
    stderr.toString().trim().split('\n').at(-1) || `${program} exited with ${status}`,
  );
}
