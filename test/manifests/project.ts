import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { muster, type Result } from '../cli/command.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A set function with two tables, one whose name has a dash and with limits, and a projection. */
export const FUNCTIONS: Readonly<Record<string, string>> = {
  orders: `defineFunction({
    name: 'orders',
    parts: {
      paid: { table: 'shop.payment', key: 'order_id' },
      packed: { table: 'shop.parcel', key: 'order_id' },
    },
    handle() {},
  })`,
  'late-returns': `defineFunction({
    name: 'late-returns',
    parts: { sent: { table: 'shop.parcel', key: 'id' } },
    timeout: '90 seconds',
    concurrency: 20,
    handle() {},
  })`,
  positions: `defineProjection({ name: 'positions', topic: 'street', read: () => undefined, async apply() {} })`,
};

const OTHERS = [
  '--namespace=shop',
  '--topic-prefix=erp',
  '--brokers=a.example:9092,b.example:9092',
];

/** The ways to call `muster manifests`, by what they make. */
export const GENERATED: Readonly<Record<string, readonly string[]>> = {
  Deployments: [],
  'Deployments that read Kafka': ['--intake=kafka'],
  'Deployments that read the log of a source': ['--intake=wal'],
  'Knative Services': ['--workload=knative-service'],
  'one Deployment': ['orders'],
  'one Knative Service': ['orders', '--workload=knative-service'],
  'one projection': ['positions'],
  'objects with other names and addresses': [
    ...OTHERS,
    '--image=registry.example.com:5000/orders:1.2',
  ],
  'Knative Services with other names and addresses': [
    '--workload=knative-service',
    ...OTHERS,
    `--image=registry.example.com/orders@sha256:${'0123456789abcdef'.repeat(4)}`,
  ],
};

/** A project in a folder of its own, below this one's, in which `musterjs` is this project. */
export class Project implements Disposable {
  static #count = 0;
  /** Relative to this project's folder, as messages name it. */
  readonly folder = join('.muster', `manifests-${process.pid}-${++Project.#count}`);

  constructor(functions = FUNCTIONS) {
    for (const [name, definition] of Object.entries(functions)) this.define(name, definition);
  }

  /** Adds or replaces a function. */
  define(name: string, definition: string): void {
    const imports = `import { defineFunction, defineProjection } from 'musterjs';`;
    this.write(`functions/${name}.ts`, `${imports}\nexport default ${definition};\n`);
  }

  /** Runs `muster manifests` with these arguments. */
  manifests(...args: readonly string[]): Promise<Result> {
    const env = { FUNCTIONS_FOLDER: join(ROOT, this.folder, 'functions') };
    return muster(env, ['manifests', ...args, '--out', this.path('manifests')]);
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  read(file: string): string {
    return readFileSync(this.path(file), 'utf8');
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(this.path(file)), { recursive: true });
    writeFileSync(this.path(file), text);
  }

  delete(file: string): void {
    rmSync(this.path(file));
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
