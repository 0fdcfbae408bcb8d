import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ownFiles } from '../../src/build/base.ts';
import { readElf } from '../../src/build/elf.ts';
import { namesOf } from '../../src/build/platform.ts';
import { librariesIn } from '../../src/build/sysroot.ts';

const isLinux = process.platform === 'linux';
const [own, other] =
  process.arch === 'x64' ? (['amd64', 'arm64'] as const) : (['arm64', 'amd64'] as const);

test.skipIf(!isLinux)('the libraries of a program are those that ldd finds', () => {
  const linked = [...ownFiles().libraries.keys()];
  const found = librariesIn('/', process.execPath, own);
  expect([...found.keys()].map((path) => basename(path)).toSorted()).toEqual(
    linked.map((path) => basename(path)).toSorted(),
  );
  expect(linked).toContain(readElf(process.execPath)!.loader);
  expect(found.has(readElf(process.execPath)!.loader!)).toBe(true);
});

test.skipIf(!isLinux)('libraries of another platform are not taken', () => {
  const sysroot = mkdtempSync(join(tmpdir(), 'muster-sysroot-'));
  onTestFinished(() => rmSync(sysroot, { recursive: true, force: true }));
  mkdirSync(join(sysroot, 'lib'));
  for (const [path, file] of ownFiles().libraries) {
    copyFileSync(file, join(sysroot, 'lib', basename(path)));
  }
  expect(librariesIn(sysroot, process.execPath, own).size).toBe(ownFiles().libraries.size);
  expect(() => librariesIn(sysroot, process.execPath, other)).toThrow(
    new RegExp(`^${sysroot} has no lib\\S+ for linux/${other}$`),
  );
});

test.skipIf(!isLinux)('a file that is no program is not read as one', () => {
  expect(readElf(import.meta.filename)).toBeNull();
  expect(readElf(process.execPath)).toMatchObject({ machine: namesOf(own).elf });
});
