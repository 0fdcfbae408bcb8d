import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What images name an architecture, and the names that others have for it. */
const ARCHITECTURES = {
  amd64: { node: 'x64', gnu: 'x86_64', elf: 62 },
  arm64: { node: 'arm64', gnu: 'aarch64', elf: 183 },
} as const;

/** An architecture that images can be written for on a machine of another one. */
export type Architecture = keyof typeof ARCHITECTURES;

/** The platforms of images, as `--platform` names them. */
export const PLATFORMS = Object.keys(ARCHITECTURES).map((each) => `linux/${each}`);

/** Returns the other names of an architecture: Node's and npm's, GNU's and QEMU's, and its number in ELF files. */
export function namesOf(architecture: Architecture): (typeof ARCHITECTURES)[Architecture] {
  return ARCHITECTURES[architecture];
}

/** This machine's architecture, in the terms of images. */
export function ownArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

/**
 * Returns how this machine runs programs of another architecture: the program to start them with, or an empty list if
 * the kernel starts QEMU by itself; null if QEMU is not installed.
 */
export function emulatorOf(architecture: Architecture): readonly string[] | null {
  const qemu = `qemu-${namesOf(architecture).gnu}`;
  for (const name of [`${qemu}-static`, qemu]) {
    for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
      if (isProgram(join(folder, name))) return [join(folder, name)];
    }
  }
  try {
    return readFileSync(`/proc/sys/fs/binfmt_misc/${qemu}`, 'utf8').startsWith('enabled')
      ? []
      : null;
  } catch {
    return null;
  }
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
