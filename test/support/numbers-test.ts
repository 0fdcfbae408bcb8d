import { NUMBERS } from './numbers.ts';
import { test as base, type TestDatabase } from './test.ts';

/** A database for the test, with those tables. */
export const test = base.extend<{ db: TestDatabase }>({
  db: async ({ db }, use) => {
    await db.query(NUMBERS);
    await use(db);
  },
});
