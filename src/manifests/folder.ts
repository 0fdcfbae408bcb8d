import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Files } from './manifests.ts';

/** The file that records what was generated. */
const RECORD = '.generated';
const RECORD_HEADER = `# Hashes of the files as \`muster manifests\` wrote them. By them it knows the files that have been edited since,
# which it does not overwrite. To list these: sha256sum --check --quiet ${RECORD}
`;
const OBSOLETE = '#obsolete ';

/**
 * What happens to a file: an edited one is `kept` while what is generated for it stays the same; a `conflict` is an
 * edited file that would be overwritten; `obsolete` ones are no longer generated.
 */
type FileState = 'created' | 'changed' | 'same' | 'kept' | 'conflict' | 'obsolete' | 'deleted';

export interface PlannedFile {
  /** Path in the folder. */
  readonly file: string;
  readonly state: FileState;
  /** Content on disk; null if there is none. */
  readonly before: string | null;
  /** What is generated; null if it no longer is. */
  readonly after: string | null;
}

export interface PlanOptions {
  /** Overwrite and delete files that have been edited, too. */
  readonly force: boolean;
  /** Delete files that are no longer generated. */
  readonly prune: boolean;
}

interface Recorded {
  readonly hash: string;
  readonly isObsolete: boolean;
}

/**
 * The folder that manifests are written to, with a record of the files as they were written. A file that differs from
 * its record was edited; one without a record counts as edited, too.
 */
export class ManifestFolder {
  readonly #folder: string;
  readonly #recorded: ReadonlyMap<string, Recorded>;

  constructor(folder: string) {
    this.#folder = folder;
    this.#recorded = parseRecord(this.#read(RECORD) ?? '');
  }

  /** The files that are neither shared nor of these functions. */
  filesBeside(functions: readonly string[]): string[] {
    const beside = [...this.#recorded].filter(
      ([file, { isObsolete }]) =>
        !isObsolete && file.includes('/') && !isOf(functions, file) && this.#read(file) !== null,
    );
    return beside.map(([file]) => file);
  }

  /** Compares the folder with what is generated: for these functions, or for all. */
  plan(
    files: Files,
    functions: readonly string[] | 'all',
    { force, prune }: PlanOptions,
  ): PlannedFile[] {
    const planned = [...files].map(([file, after]): PlannedFile => {
      const before = this.#read(file);
      const state = stateOf(before, after, this.#recorded.get(file));
      const isReplaced = force && (state === 'kept' || state === 'conflict');
      return { file, state: isReplaced ? 'changed' : state, before, after };
    });
    for (const [file, { hash }] of this.#recorded) {
      if (files.has(file) || (functions !== 'all' && !isOf(functions, file))) continue;
      const before = this.#read(file);
      if (before === null) continue;
      const isDeleted = prune && (force || hashOf(before) === hash);
      planned.push({ file, state: isDeleted ? 'deleted' : 'obsolete', before, after: null });
    }
    return planned;
  }

  /** Writes and deletes files, then the record; a run that is killed in between is completed by the next one. */
  apply(plan: readonly PlannedFile[]): void {
    const recorded = new Map(this.#recorded);
    for (const [file] of recorded) if (this.#read(file) === null) recorded.delete(file);
    for (const { file, state, after } of plan) {
      const path = join(this.#folder, file);
      if (state === 'created' || state === 'changed') {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, after!);
      } else if (state === 'deleted') {
        rmSync(path);
        recorded.delete(file);
        if (readdirSync(dirname(path)).length === 0) rmdirSync(dirname(path));
      }
      const known = recorded.get(file);
      if (state === 'obsolete') recorded.set(file, { ...known!, isObsolete: true });
      else if (after !== null && state !== 'kept') {
        recorded.set(file, { hash: hashOf(after), isObsolete: false });
      }
    }
    const text = printRecord(recorded);
    if (text !== this.#read(RECORD)) writeFileSync(join(this.#folder, RECORD), text);
  }

  /** The content of a file, with line ends as they were written: Git may have changed them. */
  #read(file: string): string | null {
    const path = join(this.#folder, file);
    return existsSync(path) ? readFileSync(path, 'utf8').replaceAll('\r\n', '\n') : null;
  }
}

function stateOf(before: string | null, after: string, recorded: Recorded | undefined): FileState {
  if (before === null) return 'created';
  if (before === after) return 'same';
  if (recorded?.hash === hashOf(before)) return 'changed';
  return recorded?.hash === hashOf(after) ? 'kept' : 'conflict';
}

function isOf(functions: readonly string[], file: string): boolean {
  return functions.some((name) => file.startsWith(`${name}/`));
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Reads lines of `sha256sum`. A path that leads elsewhere is ignored, since a file of a record may be deleted. */
function parseRecord(text: string): Map<string, Recorded> {
  const lines = text.matchAll(
    /^(#obsolete )?([0-9a-f]{64}) {2}((?:[a-z0-9-]+\/)?[a-z0-9-]+\.yaml)$/gm,
  );
  return new Map(
    [...lines].map(([, mark, hash, file]) => [
      file!,
      { hash: hash!, isObsolete: mark !== undefined },
    ]),
  );
}

function printRecord(recorded: ReadonlyMap<string, Recorded>): string {
  const lines = [...recorded]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, { hash, isObsolete }]) => `${isObsolete ? OBSOLETE : ''}${hash}  ${file}\n`);
  return RECORD_HEADER + lines.join('');
}
