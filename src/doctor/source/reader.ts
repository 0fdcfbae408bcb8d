/** Who reads the source: a connector of Debezium, or Muster itself (INTAKE=wal). */
export type SourceReader = 'connector' | 'muster';

/** What to do about a slot, by its reader. */
interface Advice {
  /** Why there is no slot, and how one comes to be. */
  readonly absent: readonly [why: string, remedy: string];
  readonly dropped: (source: string) => readonly [why: string, remedy: string];
  readonly foreign: string;
  readonly lost: (name: string) => string;
  /** What happens after a failover to a standby without the slot. */
  readonly again: string;
  /** How the slot comes to be copied to standbys. */
  readonly copied: (name: string) => string;
  readonly start: string;
  readonly unread: string;
  readonly slow: readonly [why: string, remedy: string];
}

const RESTART = 'curl -X POST "<connect>:8083/connectors/<name>/restart?includeTasks=true"';
/** With `initial`, Debezium takes no second snapshot, and fails once it has a new slot. */
const WHEN_NEEDED = 'snapshot.mode=when_needed for the connector, if it has another mode';
/** A snapshot read within a minute of a row's last change counts as the older of the two. */
const AGAIN =
  'once a minute has passed since its last event: the connector creates a new slot and reads every row again; a row deleted in between stays in its set';
const SERVE = 'muster serve   # with INTAKE=wal:';

export const ADVICE: Readonly<Record<SourceReader, Advice>> = {
  connector: {
    absent: [
      'the connector, which creates it, has not run',
      'kubectl get kafkaconnector; or: curl <connect>:8083/connectors/<name>/status',
    ],
    dropped: (source) => [
      `although ${source} has streamed: changes since it was dropped were not sent`,
      `${WHEN_NEEDED}\nkubectl annotate kafkaconnector <name> strimzi.io/restart=true; or: ${RESTART}   # ${AGAIN}`,
    ],
    foreign:
      'set slot.name and plugin.name=pgoutput for the connector; or: muster doctor --slot <name>',
    lost: (name) => `${WHEN_NEEDED}\nselect pg_drop_replication_slot('${name}');   -- ${AGAIN}`,
    again: 'it reads every row again, and rows deleted in between stay in their sets',
    copied: (name) =>
      `psql "<source url>?replication=database" --command 'ALTER_REPLICATION_SLOT "${name}" (FAILOVER true)'   # while the connector is stopped (& instead of ? after other parameters); and set slot.failover=true for it`,
    start: 'and start the connector',
    unread: `kubectl get kafkaconnector; or: ${RESTART}`,
    slow: [
      'the connector does not keep up, or acknowledges nothing while its tables are quiet',
      'set heartbeat.interval.ms and heartbeat.action.query of the connector',
    ],
  },
  muster: {
    absent: [
      'no process with INTAKE=wal has read this source',
      `${SERVE} it creates the publication and the slot`,
    ],
    dropped: (source) => [
      `although ${source} has streamed: changes since it was dropped are lost`,
      `${SERVE} it creates the slot and reads all rows again; a row deleted in between stays in its set`,
    ],
    foreign: 'set WAL_SLOT to another name',
    lost: () =>
      `${SERVE} it drops the slot and reads all rows again; a row deleted in between stays in its set`,
    again: 'all rows are read again',
    copied: () => `${SERVE} it marks the slot when it begins to read`,
    start: 'and start muster serve',
    unread: `kubectl -n muster get pods; or: ${SERVE} its readiness and its log state why it does not read`,
    slow: [
      'its reader does not keep up',
      'curl <pod>:8080/metrics   # muster_wal_behind_seconds, muster_batch_events; its log names a state database that does not answer',
    ],
  },
};
