import { randomBytes } from 'node:crypto';
import type { Database } from './database.ts';

/** The users of the state database, named like the suffixes of the Secrets in the manifests. */
export type User = 'migrate' | 'serve' | 'read' | 'keda';

const MEMBER_OF: Readonly<Record<Exclude<User, 'migrate'>, string>> = {
  serve: 'muster_intake, muster_run',
  read: 'muster_read',
  keda: 'muster_keda',
};

/** Creates the users as an administrator does before the first migration; returns a URL for each. */
export async function createUsers(database: Database): Promise<Readonly<Record<User, string>>> {
  const password = randomBytes(12).toString('hex');
  const login = `login password '${password}'`;
  for (const role of ['intake', 'run', 'read', 'keda']) {
    await database.query(`create role muster_${role} nologin`);
  }
  await database.query(`create role trial_migrate ${login}`);
  await database.query('grant create on database app to trial_migrate');
  for (const [user, roles] of Object.entries(MEMBER_OF)) {
    await database.query(`create role trial_${user} ${login} in role ${roles}`);
  }
  const urlOf = (user: User) => {
    const url = new URL(database.podUrl);
    url.username = `trial_${user}`;
    url.password = password;
    return url.href;
  };
  return {
    migrate: urlOf('migrate'),
    serve: urlOf('serve'),
    read: urlOf('read'),
    keda: urlOf('keda'),
  };
}
