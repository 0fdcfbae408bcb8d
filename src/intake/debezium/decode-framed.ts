import { errorText } from '../../lib/error-text.ts';
import { isFramed } from '../../schemas/frame.ts';
import { RegistryUnavailable } from '../../schemas/registry.ts';
import { Undecodable } from '../../schemas/undecodable.ts';
import { Unavailable } from '../../state/outcome.ts';
import { isChangeType } from '../cloudevents/attributes.ts';
import type { CloudEvent } from '../cloudevents/incoming.ts';
import { schemaInHeader } from '../diagnosis.ts';
import type { Invalid } from './read-change.ts';

/** What intake needs of the schemas of a registry. */
export interface SchemaDecoder {
  /** Returns the JSON value in framed bytes. Throws {@link Undecodable} or {@link RegistryUnavailable}. */
  decode(bytes: Uint8Array): Promise<unknown>;
}

/** Whether the data of an event begins with the id of its schema. */
export function hasSchemaId({ type, data, body }: CloudEvent): boolean {
  return data === undefined && isFramed(body) && isChangeType(type);
}

/**
 * Decodes an event whose data begins with the id of its schema to what JsonConverter would have sent. Throws
 * {@link Unavailable} while the registry does not answer.
 */
export async function decodeFramed(
  event: CloudEvent,
  decoder: SchemaDecoder,
): Promise<CloudEvent | Invalid> {
  try {
    const data = await decoder.decode(event.body);
    return { ...event, data, isExact: true };
  } catch (error) {
    if (error instanceof RegistryUnavailable) {
      throw new Unavailable('schema-registry', error.message, { cause: error });
    }
    if (!(error instanceof Undecodable)) throw error;
    const hint = schemaInHeader(event.attributes);
    const detail = `the body begins with the id of a schema, but ${errorText(error)}${hint}`;
    return { kind: 'invalid', reason: 'not-a-change', detail };
  }
}
