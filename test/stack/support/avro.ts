import { Connect } from '../../../dev/stack/connect.ts';
import { SchemaRegistry } from './registry.ts';
import type { Stack } from './stack.ts';
import { test as base } from './test.ts';

/** A registry, and a Connect worker whose connectors can write Avro for it. */
export interface Avro {
  readonly registry: SchemaRegistry;
  readonly connect: Connect;
}

/** `avro` starts both at its first call in a worker. */
export const test = base.extend('avro', { scope: 'worker' }, ({ stack }, { onCleanup }) => {
  let started: Promise<Avro> | undefined;
  onCleanup(async () => {
    const avro = await started?.catch(() => undefined);
    await Promise.all([avro?.connect.kill(), avro?.registry.kill()]);
  });
  return () => (started ??= start(stack));
});

async function start(stack: Stack): Promise<Avro> {
  const installation = await stack.install();
  const registry = await SchemaRegistry.start(stack.newFolder());
  const connect = await Connect.start({
    installation: {
      ...installation,
      classpath: `${installation.classpath}:${registry.converter}`,
    },
    folder: stack.newFolder(),
    broker: (await stack.broker()).address,
    connectors: [],
  });
  return { registry, connect };
}
