import type { Mutant } from './mutants.ts';

const TRANSACTIONS = 'src/kafka-transactions.ts';

const UNIT = ['test/kafka-transactions.test.ts'];

/** Guards of reading Kafka by ourselves. */
export const PULLING_MUTANTS: readonly Mutant[] = [
  {
    name: 'pull: one aborted transaction begins with a record',
    file: TRANSACTIONS,
    find: 'while (begun < begins.length && begins[begun]!.first <= offset)',
    replace: 'if (begun < begins.length && begins[begun]!.first <= offset)',
    tests: UNIT,
  },
  {
    name: 'pull: aborted transactions are taken in the order they are listed',
    file: TRANSACTIONS,
    find: '.toSorted((a, b) => (a.first < b.first ? -1 : 1))',
    replace: '',
    tests: UNIT,
  },
  {
    name: 'pull: any record with the key of a marker ends a transaction',
    file: TRANSACTIONS,
    find: 'if (record.isControlRecord === true) {',
    replace: 'if (isAbort(record.key)) {',
    tests: UNIT,
  },
  {
    name: 'pull: records of aborted transactions are applied',
    file: 'src/kafka-protocol.ts',
    find: 'partitions.forEach(dropAborted)',
    replace: 'void partitions',
    tests: ['test/stack/transactions.test.ts'],
  },
];
