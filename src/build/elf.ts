import { readFileSync } from 'node:fs';

/** What a program or a library, both ELF files, needs in order to start. */
export interface Elf {
  /** The number of its architecture. */
  readonly machine: number;
  /** The path of the loader that a program names. */
  readonly loader: string | null;
  /** Names of the libraries that it links. */
  readonly needed: readonly string[];
}

const HEADER = 64;
const LOADABLE = 1;
const DYNAMIC = 2;
const INTERPRETER = 3;
const NEEDED = 1n;
const STRINGS = 5n;

/** Reads an ELF file of 64 bits in little-endian order; returns null for any other file. `ldd` reads only its own machine's. */
export function readElf(file: string): Elf | null {
  const bytes = readFileSync(file);
  if (bytes.length < HEADER || bytes.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') return null;
  const size = bytes.readUInt16LE(54);
  const segments = Array.from({ length: bytes.readUInt16LE(56) }, (_, i) => {
    const at = Number(bytes.readBigUInt64LE(32)) + i * size;
    const [offset, address, , length] = [8, 16, 24, 32].map((field) =>
      Number(bytes.readBigUInt64LE(at + field)),
    ) as [number, number, number, number];
    return { type: bytes.readUInt32LE(at), offset, address, length };
  });
  const text = (offset: number) => bytes.toString('latin1', offset, bytes.indexOf(0, offset));
  const offsetOf = (address: number) => {
    const segment = segments.find(
      (each) =>
        each.type === LOADABLE && address >= each.address && address < each.address + each.length,
    );
    return segment === undefined ? 0 : address - segment.address + segment.offset;
  };
  const entries = segments
    .filter(({ type }) => type === DYNAMIC)
    .flatMap(({ offset, length }) =>
      Array.from({ length: length / 16 }, (_, i) => ({
        tag: bytes.readBigInt64LE(offset + 16 * i),
        value: Number(bytes.readBigUInt64LE(offset + 16 * i + 8)),
      })),
    );
  const strings = offsetOf(entries.find(({ tag }) => tag === STRINGS)?.value ?? 0);
  const interpreter = segments.find(({ type }) => type === INTERPRETER);
  return {
    machine: bytes.readUInt16LE(18),
    loader: interpreter === undefined ? null : text(interpreter.offset),
    needed: entries.filter(({ tag }) => tag === NEEDED).map(({ value }) => text(strings + value)),
  };
}
