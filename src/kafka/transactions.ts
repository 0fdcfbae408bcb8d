/** A record as kafkajs decodes it, with what its types don't declare. */
interface DecodedRecord {
  readonly offset: string;
  readonly key: Buffer | null;
  /** Is it a marker of a transaction's end? kafkajs hands no such record on, but counts its offset. */
  isControlRecord?: boolean;
  readonly batchContext?: { readonly producerId: string; readonly inTransaction: boolean };
}

/** What a broker answers of a partition that was fetched. */
export interface FetchedPartition {
  abortedTransactions?: readonly { readonly producerId: string; readonly firstOffset: string }[];
  readonly messages: readonly DecodedRecord[];
}

/**
 * Marks the records of aborted transactions like the markers of transactions: both are passed over, and
 * their offsets count as read. kafkajs' own filter begins at most one aborted transaction with each
 * record and takes their list for sorted, so that it lets records through where transactions overlap; and
 * it takes a record whose key is four zero bytes for the end of one. It finds an empty list.
 *
 * As Kafka's own client does it: an aborted transaction of a producer begins at the offset that the broker
 * names, and ends with the producer's abort marker.
 */
export function dropAborted(partition: FetchedPartition): void {
  const { abortedTransactions, messages } = partition;
  if (abortedTransactions === undefined || abortedTransactions.length === 0) return;
  const begins = abortedTransactions
    .map(({ producerId, firstOffset }) => ({ producerId, first: BigInt(firstOffset) }))
    .toSorted((a, b) => (a.first < b.first ? -1 : 1));
  const aborted = new Set<string>();
  let begun = 0;
  for (const record of messages) {
    const offset = BigInt(record.offset);
    while (begun < begins.length && begins[begun]!.first <= offset) {
      aborted.add(begins[begun++]!.producerId);
    }
    const batch = record.batchContext;
    if (batch === undefined) continue; // older than transactions
    if (record.isControlRecord === true) {
      if (isAbort(record.key)) aborted.delete(batch.producerId);
    } else if (batch.inTransaction && aborted.has(batch.producerId)) {
      record.isControlRecord = true;
    }
  }
  partition.abortedTransactions = [];
}

/** A marker's key is a version and a type, two bytes each; type 0 aborts, 1 commits. */
function isAbort(key: Buffer | null): boolean {
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0;
}
