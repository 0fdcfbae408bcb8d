import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fetched } from '../../../dev/stack/install.ts';
import { Jvm } from '../../../dev/stack/jvm.ts';
import { freePort } from '../../../src/local/port.ts';

const POM = fileURLToPath(new URL('registry-pom.xml', import.meta.url));

/** A schema registry (Apicurio's) that stores schemas in memory. */
export class SchemaRegistry {
  readonly #jvm: Jvm;
  readonly #address: string;
  /** Classpath of the converter that writes Avro for it. */
  readonly converter: string;

  private constructor(jvm: Jvm, address: string, converter: string) {
    this.#jvm = jvm;
    this.#address = address;
    this.converter = converter;
  }

  /** Fetches it once (150 MB, 20 s); resolves when it answers (5-6 s). */
  static async start(logFolder: string): Promise<SchemaRegistry> {
    const folder = await fetched(POM, 'the schema registry (150 MB, once)', say);
    const server = join(folder, 'server');
    const runner = readdirSync(server).find((name) => name.endsWith('-runner.jar'))!;
    const port = await freePort();
    const jvm = await Jvm.start({
      title: 'Apicurio Registry',
      classpath: join(server, runner),
      mainClass: 'io.quarkus.runner.GeneratedMain',
      properties: { 'quarkus.http.host': '127.0.0.1', 'quarkus.http.port': String(port) },
      args: [],
      heap: '384m',
      log: join(logFolder, 'registry.log'),
    });
    const address = `http://127.0.0.1:${port}`;
    const registry = new SchemaRegistry(jvm, address, join(folder, 'lib', '*'));
    while (!(await answers(registry.url))) {
      if (jvm.hasEnded) throw new Error(`the registry did not start:\n${jvm.lastWords}`);
      await sleep(100);
    }
    return registry;
  }

  /** SCHEMA_REGISTRY_URL. */
  get url(): string {
    return `${this.#address}/apis/ccompat/v7`;
  }

  /** Settings with which a connector writes Avro in Confluent's wire format. */
  get avro(): Record<string, string> {
    return {
      'value.converter': 'io.apicurio.registry.utils.converter.AvroConverter',
      'value.converter.apicurio.registry.url': `${this.#address}/apis/registry/v2`,
      'value.converter.apicurio.registry.auto-register': 'true',
      'value.converter.apicurio.registry.find-latest': 'true',
      'value.converter.apicurio.registry.as-confluent': 'true',
      'value.converter.apicurio.registry.use-id': 'contentId',
      'value.converter.apicurio.registry.headers.enabled': 'false',
    };
  }

  kill(): Promise<void> {
    return this.#jvm.kill();
  }
}

function say(line: string): void {
  process.stdout.write(`registry: ${line}\n`);
}

async function answers(url: string): Promise<boolean> {
  const response = await fetch(`${url}/subjects`).catch(() => null);
  await response?.arrayBuffer();
  return response?.ok ?? false;
}
