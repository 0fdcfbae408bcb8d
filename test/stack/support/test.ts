import { missingTools } from '../../../dev/stack/tools.ts';
import { need } from '../../support/need.ts';
import { test as base } from '../../support/test.ts';
import { PullPipeline } from './pull-pipeline.ts';
import { missingMariaDb } from './mariadb.ts';
import { MySqlPipeline } from './mysql-pipeline.ts';
import { Pipeline } from './pipeline.ts';
import { Stack } from './stack.ts';

const missing = missingTools();

/** A test with the whole pipeline; skipped if Java or Maven is missing, unless REQUIRE_STACK is 1. */
export const test = base
  .extend('stack', { scope: 'worker' }, ({}, { onCleanup }) => {
    const stack = new Stack();
    onCleanup(() => stack.stop());
    return stack;
  })
  .extend('pipeline', ({ stack, db, skip }, { onCleanup }) => {
    need(missing, skip);
    const pipeline = new Pipeline(stack, db);
    onCleanup(() => pipeline.close());
    return pipeline;
  })
  .extend('mysql', async ({ stack, skip }, { onCleanup }) => {
    need(missing ?? missingMariaDb(), skip);
    const mysql = await MySqlPipeline.start(stack);
    onCleanup(() => mysql.close());
    return mysql;
  })
  .extend('mariadb', async ({ stack, skip }, { onCleanup }) => {
    need(missing ?? missingMariaDb(), skip);
    const mariadb = await MySqlPipeline.start(stack, 'mariadb');
    onCleanup(() => mariadb.close());
    return mariadb;
  })
  .extend('pull', ({ stack, db, skip }, { onCleanup }) => {
    need(missing, skip);
    const pull = new PullPipeline(stack, db);
    onCleanup(() => pull.close());
    return pull;
  });
