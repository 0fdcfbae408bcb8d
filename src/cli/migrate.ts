import { readConfig, requireFunctions } from '../config/config.ts';
import { isSetFunction, isProjection, loadFunctions } from '../definitions/load-functions.ts';
import { announce } from '../state/registration/announce.ts';
import { specify } from '../definitions/specification.ts';
import { unreachable, waitUntilReady } from '../state/wait-until-ready.ts';
import { describeUnread, unsyncedParts } from '../state/registration/parts.ts';
import { migrate } from '../state/schema/migrate.ts';
import { register } from '../state/registration/register.ts';
import { grantRoles } from '../state/schema/roles.ts';
import { registerProjection } from '../state/registration/register-projection.ts';
import { withDatabase } from './database.ts';
import { printResult, type JsonOption } from './print-result.ts';

export async function run(options: JsonOption): Promise<void> {
  const config = readConfig(process.env);
  requireFunctions(config);
  const definitions = await loadFunctions(config.FUNCTIONS);
  const specifications = definitions.filter(isSetFunction).map(specify);
  const projections = definitions.filter(isProjection);
  // a Job may start before its database is running, or before the database has an address
  const applied = await waitUntilReady(
    () => migrate(config.DATABASE_URL, config.FUNCTIONS),
    ({ error, since }, why) => process.stderr.write(`muster: ${why} (since ${since}): ${error}\n`),
    undefined,
    unreachable,
  );
  printResult(
    options,
    { migrated: applied },
    applied.length === 0 ? 'nothing to migrate' : `migrated: ${applied.join(', ')}`,
  );
  await withDatabase(async (database) => {
    for (const specification of specifications) {
      if (await announce(database, specification)) {
        printResult(
          options,
          { announced: specification.name },
          `announced: ${specification.name}; running workers continue to serve until one of this release is ready`,
        );
        continue;
      }
      const { generation } = await register(database, specification, true);
      printResult(
        options,
        { registered: specification.name, generation },
        `registered: ${specification.name}, generation ${generation}`,
      );
    }
    for (const unread of await unsyncedParts(database, config.FUNCTIONS)) {
      printResult(options, { unsynced: unread }, describeUnread(unread));
    }
    for (const projection of projections) {
      await registerProjection(database, projection);
      printResult(
        options,
        { registered: projection.name, topic: projection.topic },
        `registered: ${projection.name}, a projection of ${projection.topic}`,
      );
    }
  });
  const missing = await grantRoles(config.DATABASE_URL, config.FUNCTIONS);
  if (missing.length > 0) {
    const statements = missing.map((role) => `create role ${role} nologin;`).join(' ');
    printResult(
      options,
      { missingRoles: missing },
      `no roles: this user may not create them. If other users are to connect, have an administrator run\n  ${statements}\nand then run 'muster migrate' again`,
    );
  }
}
