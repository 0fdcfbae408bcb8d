import { readConfig } from '../config/config.ts';
import { isSetFunction, isProjection, loadFunctions } from '../definitions/load-functions.ts';
import { specify } from '../definitions/specification.ts';
import { unreachable, waitUntilReady } from '../state/database/wait-until-ready.ts';
import { unsyncedParts } from '../state/registration/parts.ts';
import { migrate } from '../state/schema/migrate.ts';
import { register } from '../state/registration/register.ts';
import { grantRoles } from '../state/schema/roles.ts';
import { registerProjection } from '../state/registration/register-projection.ts';
import { withDatabase } from './database.ts';
import { describeUnread } from './resynced.ts';

export async function run(): Promise<void> {
  const config = readConfig(process.env);
  const definitions = await loadFunctions(config.FUNCTIONS);
  const specifications = definitions.filter(isSetFunction).map(specify);
  const projections = definitions.filter(isProjection);
  // A Job may start before its database, or before that has an address.
  const applied = await waitUntilReady(
    () => migrate(config.DATABASE_URL, config.FUNCTIONS),
    ({ error, since }, why) => process.stderr.write(`muster: ${why} (since ${since}): ${error}\n`),
    undefined,
    unreachable,
  );
  process.stdout.write(
    applied.length === 0 ? 'nothing to migrate\n' : `migrated: ${applied.join(', ')}\n`,
  );
  await withDatabase(async (database) => {
    for (const specification of specifications) {
      const { generation } = await register(database, specification, true);
      process.stdout.write(`registered: ${specification.name}, generation ${generation}\n`);
    }
    for (const unread of await unsyncedParts(database, config.FUNCTIONS)) {
      process.stdout.write(`${describeUnread(unread)}\n`);
    }
    for (const projection of projections) {
      await registerProjection(database, projection);
      process.stdout.write(`registered: ${projection.name}, a projection of ${projection.topic}\n`);
    }
  });
  const missing = await grantRoles(config.DATABASE_URL, config.FUNCTIONS);
  if (missing.length > 0) {
    const statements = missing.map((role) => `create role ${role} nologin;`).join(' ');
    process.stdout.write(
      `no roles: this user may not make them. Where others than it are to connect, let an administrator run\n  ${statements}\nand then 'muster migrate' again\n`,
    );
  }
}
