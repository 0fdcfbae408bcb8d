/** What speeds up a server that is thrown away. */
export const THROWAWAY = { fsync: 'off', max_wal_senders: '20', max_replication_slots: '20' };
