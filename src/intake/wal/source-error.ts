import { errorText } from '../../lib/error-text.ts';
import { Unavailable } from '../../state/outcome.ts';

/** Why the source can't be read, with what to do about it. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
}

/** Whether a slot is taken: another process reads it, or the server has not noticed yet that its reader is gone. */
export function isTaken(error: unknown): boolean {
  return codeOf(error) === '55006';
}

/** Returns a sentence for why reading ended, with the remedy if there is a known one. */
export function explainSourceError(error: unknown): string {
  if (error instanceof SourceError) return error.message;
  if (error instanceof Unavailable) {
    return error.reason === 'database' ? `the state database: ${error.message}` : error.message;
  }
  return `the source: ${withRemedy(error)}`;
}

function withRemedy(error: unknown): string {
  const message = errorText(error);
  switch (codeOf(error)) {
    case '55000':
      return message.includes('wal_level')
        ? `${message}: run 'alter system set wal_level = logical' there, and restart the server`
        : message;
    case '42501':
      return `${message}: the login of SOURCE_DATABASE_URL needs the attribute replication ('alter role … replication'), must own the tables or the publication, and be able to read the tables`;
    case '53400':
      return `${message}: raise max_replication_slots there, and restart the server`;
    case '53300':
      return `${message}: raise max_wal_senders there, and restart the server`;
    case '28000':
      return message.includes('replication')
        ? `${message}: pg_hba.conf must admit the login to the database`
        : message;
    default:
      return message;
  }
}

function codeOf(error: unknown): string {
  return (error as { code?: string } | null)?.code ?? '';
}
