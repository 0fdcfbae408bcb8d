import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Small files that take half a minute or more. */
const LONG = ['test/bench/sections', 'test/stack/demo', 'test/bench/bench'];

/**
 * Starts these files first. On a new clone vitest starts the largest files first, and one of these would be the last,
 * with nothing left to run beside it.
 */
export class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- not of an array
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

function isLong({ moduleId }: TestSpecification): boolean {
  return LONG.some((name) => moduleId.endsWith(`/${name}.test.ts`));
}
