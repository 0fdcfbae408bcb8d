import { randomUUID } from 'node:crypto';
import { isCloudEvent } from '../../lib/curl-line.ts';
import { errorText } from '../../lib/error-text.ts';
import type { SendAnswer } from './answers.ts';

const TIMEOUT_MS = 10_000;

/** What the intake answers to an event that asks for an explanation. */
interface IntakeAnswer {
  readonly outcome?: SendAnswer['outcome'];
  readonly sets?: SendAnswer['sets'];
  readonly why?: string;
  readonly parked?: string;
  readonly detail?: string;
  readonly error?: string;
}

/**
 * Posts a message, as a KafkaSource would unless it is a CloudEvent, and returns the answer. Throws a 503 if there is
 * none.
 */
export async function postEvent(url: string, message: string): Promise<SendAnswer> {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        ...(isCloudEvent(message)
          ? { 'content-type': 'application/cloudevents+json' }
          : {
              'ce-specversion': '1.0',
              'ce-type': 'dev.knative.kafka.event',
              'ce-source': '/muster/console',
              'ce-id': randomUUID(),
            }),
        prefer: 'return=representation',
      },
      body: message,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return toAnswer(answer.status, (await answer.json()) as IntakeAnswer);
  } catch (error) {
    throw Object.assign(
      new Error(
        `the functions do not answer at ${url}: ${errorText((error as Error).cause ?? error)}. They may be reloading: send it again`,
      ),
      { statusCode: 503 },
    );
  }
}

function toAnswer(status: number, answer: IntakeAnswer): SendAnswer {
  const { outcome, sets = [], why, parked, detail, error } = answer;
  const reason = [why, parked, error, detail].filter((each) => each !== undefined).join(': ');
  return {
    status,
    outcome: outcome ?? (parked === undefined ? 'refused' : 'parked'),
    reason: reason === '' ? null : reason,
    sets: sets.map((set) => ({
      function: set.function,
      key: set.key,
      status: set.status,
      missing: set.missing,
    })),
  };
}
