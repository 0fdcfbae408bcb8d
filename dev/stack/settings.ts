/** Settings of a single-node Kafka cluster on one machine: replication 1, no needless delays. */
export function brokerSettings({
  folder,
  host = '127.0.0.1',
  port,
  controllerPort,
}: {
  readonly folder: string;
  /** The address at which clients reach it; 127.0.0.1 by default. */
  readonly host?: string;
  readonly port: number;
  readonly controllerPort: number;
}): Record<string, string> {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://${host}:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://${host}:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': folder,
    'num.partitions': '1',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '1',
    'group.min.session.timeout.ms': '1000',
    'group.initial.rebalance.delay.ms': '0',
    // After kill -9 a broker waits for its previous session to expire: 16 s with the defaults.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
  };
}

/** Formats a Java properties file. Java reads it as ISO 8859-1, so non-ASCII characters are escaped. */
export function toProperties(settings: Readonly<Record<string, string>>): string {
  const lines = Object.entries(settings).map(
    ([name, value]) =>
      `${name}=${value
        .replaceAll('\\', '\\\\')
        .replaceAll('\n', '\\n')
        .replaceAll(/[^ -~]/g, escaped)}`,
  );
  return `${lines.join('\n')}\n`;
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
