/** Settings that speed up a throwaway server. */
export const THROWAWAY = { fsync: 'off', max_wal_senders: '20', max_replication_slots: '20' };
