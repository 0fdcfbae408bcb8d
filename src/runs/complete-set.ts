import type { CompleteSet, Member } from '../function.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { isTablePart } from '../definitions/streams.ts';
import type { Lease } from '../state/lease.ts';
import type { StoredMember } from '../state/runs/load-members.ts';
import { LSN_BITS } from '../state/version.ts';

const LSN_MASK = (1n << LSN_BITS) - 1n;

/** Returns the set in the form that its handler receives. */
export function toCompleteSet(
  served: RegisteredFunction,
  lease: Lease,
  members: readonly StoredMember[],
): CompleteSet {
  const { specification, partIndexOf } = served;
  const key: Record<string, string> = {};
  const parts: Record<string, Member[]> = {};
  let composite: string[] | undefined;
  for (const part of specification.parts) {
    const values =
      part.key.length === 1 ? [lease.key] : (composite ??= JSON.parse(lease.key) as string[]);
    part.key.forEach((column, i) => (key[column] = values[i]!));
    const partIndex = partIndexOf.get(part.name);
    parts[part.name] = members
      .filter((member) => member.partIndex === partIndex)
      .map((member) => toMember(member, isTablePart(part)));
  }
  return { function: specification.name, key, keyText: lease.key, revision: lease.revision, parts };
}

function toMember(
  { id, columns, version, since, unavailable }: StoredMember,
  hasLog: boolean,
): Member {
  return { id, row: columns, lsn: hasLog ? lsnOf(version) : null, since, unavailable };
}

/** Returns null for a row that a snapshot read. */
function lsnOf(version: string): string | null {
  if (version === '0' || version.startsWith('-')) return null;
  // most versions belong to the first epoch, whose bits are zero
  return version.length < 17 ? version : String(BigInt(version) & LSN_MASK);
}
