/** Starts Kafka and Connect in the given folder, prints their process ids, and runs until it is killed. */
import { join } from 'node:path';
import { Broker } from '../../../dev/stack/broker.ts';
import { Connect } from '../../../dev/stack/connect.ts';
import { install } from '../../../dev/stack/install.ts';

const folder = process.argv[2]!;
const installation = await install(() => {});
const broker = await Broker.start(installation, join(folder, 'kafka'));
const connect = await Connect.start({
  installation,
  folder: join(folder, 'connect'),
  broker: broker.address,
  connectors: [],
});
process.stdout.write(`pids ${broker.pid} ${connect.pid}\n`);
setInterval(() => {}, 1_000);
