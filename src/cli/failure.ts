import { errorText } from '../lib/error-text.ts';
import { mayPass, misconfigured, sqlState } from '../state/database/database.ts';

/** Describes what went wrong and, if known, what to do. */
export function describe(error: unknown): string {
  const message = errorText(error);
  const state = sqlState(error);
  if ((state === '42P01' || state === '3F000') && message.includes('muster')) {
    return `${message}: migrate the state database to this release first, with 'muster migrate'`;
  }
  const wrong = misconfigured(error);
  if (wrong !== null) return wrong;
  if (state !== null) return `the state database says: ${message} (SQLSTATE ${state})`;
  if (error instanceof Error && 'syscall' in error && error.syscall === 'listen') {
    return `the server can't listen: ${whyNotListening(error)}`;
  }
  // `send` and `redeliver` also talk to other servers, and word such errors themselves
  const ofDatabase = error instanceof Error && 'code' in error && mayPass(error);
  return ofDatabase ? `the state database does not answer: ${message}` : message;
}

/** An error of `listen`, as Node reports it. */
interface ListenError extends Error {
  readonly code?: string;
  readonly address?: string;
  readonly port?: number;
}

function whyNotListening({ code, address, port, message }: ListenError): string {
  switch (code ?? '') {
    case 'EADDRINUSE':
      return `port ${port} is in use by another process: set PORT to a free one`;
    case 'EACCES':
      return `this user may not listen on port ${port}: set PORT to one above 1023`;
    case 'EADDRNOTAVAIL':
      return `this machine has no address ${address}: set HOST to one that it has`;
    default:
      return message;
  }
}
