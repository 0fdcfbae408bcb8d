import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../../src/local/port.ts';
import { brokerReady } from '../../../dev/stack/broker.ts';
import type { Installation } from '../../../dev/stack/install.ts';
import { Jvm } from '../../../dev/stack/jvm.ts';
import { brokerSettings, toProperties } from '../../../dev/stack/settings.ts';
import { javaCommand } from '../../../dev/stack/tools.ts';
import { authority, type Certificate } from '../../support/certificates.ts';

/** A broker that requires authentication, by user and password or by certificate. */
export interface SecureBroker {
  /** The listener without TLS, for the test itself. */
  readonly plain: string;
  /** The listener with TLS, and a user and password by PLAIN or SCRAM. */
  readonly sasl: string;
  /** The listener with TLS, and a certificate of the same authority. */
  readonly mtls: string;
  readonly caFile: string;
  /** Writes the files of a certificate; of another authority if `stranger`. */
  certificate(stranger?: boolean): { readonly certFile: string; readonly keyFile: string };
  kill(): Promise<void>;
}

export const USER = 'muster';

export async function startSecureBroker(
  installation: Installation,
  folder: string,
  password: string,
): Promise<SecureBroker> {
  mkdirSync(folder, { recursive: true });
  const [port, controllerPort, saslPort, mtlsPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const data = join(folder, 'data');
  const base = brokerSettings({ folder: data, port, controllerPort });
  const ca = authority('platform');
  const server = ca.issue('broker', 'localhost');
  const more = [`SASL://localhost:${saslPort}`, `MTLS://localhost:${mtlsPort}`].join(',');
  const settings = {
    ...base,
    listeners: `${base['listeners']},${more}`,
    'advertised.listeners': `${base['advertised.listeners']},${more}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map':
      'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MTLS:SSL',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.key': server.key,
    'ssl.keystore.certificate.chain': server.cert,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.certificates': ca.cert,
    'listener.name.mtls.ssl.client.auth': 'required',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.sasl.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required user_${USER}="${password}";`,
    ...Object.fromEntries(
      ['256', '512'].map((bits) => [
        `listener.name.sasl.scram-sha-${bits}.sasl.jaas.config`,
        'org.apache.kafka.common.security.scram.ScramLoginModule required;',
      ]),
    ),
  };
  const config = join(folder, 'broker.properties');
  writeFileSync(config, toProperties(settings));
  await promisify(execFile)(javaCommand(), [
    '-XX:TieredStopAtLevel=1',
    '-cp',
    installation.classpath,
    'kafka.tools.StorageTool',
    'format',
    '--config',
    config,
    '--cluster-id',
    'bXVzdGVyLW11c3Rlci1tdQ',
    ...['256', '512'].flatMap((bits) => [
      '--add-scram',
      `SCRAM-SHA-${bits}=[name=${USER},password=${password}]`,
    ]),
  ]);
  const jvm = await Jvm.start({
    title: 'Kafka',
    classpath: installation.classpath,
    mainClass: 'kafka.Kafka',
    args: [config],
    heap: '256m',
    log: join(folder, 'broker.log'),
  });
  const plain = `127.0.0.1:${port}`;
  await brokerReady(plain, jvm);
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const caFile = write('ca.crt', ca.cert);
  let made = 0;
  return {
    plain,
    sasl: `localhost:${saslPort}`,
    mtls: `localhost:${mtlsPort}`,
    caFile,
    certificate(stranger = false) {
      const { cert, key }: Certificate = (stranger ? authority('platform') : ca).issue(USER);
      made++;
      return { certFile: write(`${made}.crt`, cert), keyFile: write(`${made}.key`, key) };
    },
    kill: () => jvm.kill(),
  };
}
