import { hash } from 'node:crypto';

/** Less than every hash: where paging along hashes begins. */
export const FIRST_HASH = '00000000-0000-0000-0000-000000000000';

/** Two keys have the same hash, so that their sets could not be told apart. */
export class KeyCollision extends Error {
  override readonly name = 'KeyCollision';

  constructor(a: string, b: string) {
    super(`the keys '${a}' and '${b}' have the same hash`);
  }
}

/** The last two letters or digits of each run of them: where keys that follow each other differ. */
const LAST_CHARACTERS = /[0-9A-Za-z]{1,2}(?![0-9A-Za-z])/g;

/**
 * Returns the hash by which a set is named in the state, as a `uuid` without hyphens, so that texts sort as
 * the hashes do: 4 bytes of the SHA-256 of the key without its last characters, then 12 bytes of that of the
 * whole key. So keys that follow each other, such as numbers that grow, share pages of the indexes.
 * Same as `muster.key_hash` in 002_functions.sql.
 */
export function keyHash(key: string): string {
  return hashOf(key, startOf(neighbourhoodOf(key)));
}

function neighbourhoodOf(key: string): string {
  return key.replace(LAST_CHARACTERS, '');
}

function startOf(neighbourhood: string): string {
  return hash('sha256', neighbourhood).slice(0, 8);
}

function hashOf(key: string, start: string): string {
  return start + hash('sha256', key).slice(0, 24);
}

/** The hashes of the keys of one statement; each is computed once, as is the start that neighbours share. */
export class KeyHashes {
  readonly #byKey = new Map<string, string>();
  readonly #byHash = new Map<string, string>();
  readonly #starts = new Map<string, string>();

  /** Throws {@link KeyCollision}: the database compares a key with the stored one only. */
  of(key: string): string {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const name = hashOf(key, this.#startOf(neighbourhoodOf(key)));
    const other = this.#byHash.get(name);
    if (other !== undefined) throw new KeyCollision(other, key);
    this.#byKey.set(key, name);
    this.#byHash.set(name, key);
    return name;
  }

  #startOf(neighbourhood: string): string {
    let start = this.#starts.get(neighbourhood);
    if (start === undefined) {
      start = startOf(neighbourhood);
      this.#starts.set(neighbourhood, start);
    }
    return start;
  }

  /** Returns the hashes in their order, and their keys. */
  sorted(): { readonly hashes: readonly string[]; readonly keys: readonly string[] } {
    const hashes = [...this.#byHash.keys()].toSorted();
    return { hashes, keys: hashes.map((each) => this.#byHash.get(each)!) };
  }
}
