/** A record as kafkajs decodes it, with members that its types don't declare. */
interface DecodedRecord {
  readonly offset: string;
  readonly key: Buffer | null;
  /** Whether it marks the end of a transaction. kafkajs does not deliver such a record, but counts its offset. */
  isControlRecord?: boolean;
  readonly batchContext?: { readonly producerId: string; readonly inTransaction: boolean };
}

/** A broker's response for a fetched partition. */
export interface FetchedPartition {
  abortedTransactions?: readonly { readonly producerId: string; readonly firstOffset: string }[];
  readonly messages: readonly DecodedRecord[];
}

/**
 * Marks the records of aborted transactions like the markers of transactions: both are skipped, and their
 * offsets count as read. kafkajs' own filter begins at most one aborted transaction per record and assumes
 * that their list is sorted, so it lets records through if transactions overlap; and it treats a record whose
 * key is four zero bytes as the end of one. Therefore it is left an empty list.
 *
 * Works like Kafka's own client: an aborted transaction of a producer begins at the offset that the broker
 * specifies, and ends with the producer's abort marker.
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
    if (batch === undefined) continue; // of a format older than transactions
    if (record.isControlRecord === true) {
      if (isAbort(record.key)) aborted.delete(batch.producerId);
    } else if (batch.inTransaction && aborted.has(batch.producerId)) {
      record.isControlRecord = true;
    }
  }
  partition.abortedTransactions = [];
}

/** A marker's key consists of a version and a type, two bytes each; type 0 is an abort, 1 a commit. */
function isAbort(key: Buffer | null): boolean {
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0;
}
