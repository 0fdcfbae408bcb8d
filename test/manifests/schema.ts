import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { KubernetesObject } from './render.ts';

/** A part of a schema, in the dialect of Kubernetes' OpenAPI v3. */
interface Schema {
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-int-or-string'?: boolean;
}

const { roots, schemas } = JSON.parse(
  readFileSync(new URL('../fixtures/kubernetes/schemas.json', import.meta.url), 'utf8'),
) as { roots: Record<string, string>; schemas: Record<string, Schema> };

for (const schema of Object.values(schemas)) close(schema);
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema({ $id: 'api', components: { schemas } });
const validators = new Map<string, ValidateFunction>();

/**
 * Returns the errors that `kubectl apply --validate=strict` would report for an object: unknown fields,
 * wrong types, missing fields. Rules that the server implements in code are not checked.
 */
export function problemsWith(object: KubernetesObject): string[] {
  const kind = `${object.apiVersion} ${object.kind}`;
  const name = roots[kind];
  if (name === undefined) return [`${kind}: unknown kind`];
  const validate = validators.get(name) ?? ajv.compile({ $ref: `api#/components/schemas/${name}` });
  validators.set(name, validate);
  return validate(object) ? [] : validate.errors!.map(describe);
}

function describe({ instancePath, message, params }: ErrorObject): string {
  const field = (params as { additionalProperty?: string }).additionalProperty;
  return field === undefined
    ? `${instancePath}: ${message}`
    : `${instancePath}: unknown field ${field}`;
}

/** Forbids properties that are not named; branches of anyOf and the like only check values. */
function close(schema: Schema): void {
  const open =
    schema.additionalProperties !== undefined || schema['x-kubernetes-preserve-unknown-fields'];
  if (schema.properties !== undefined && !open) schema.additionalProperties = false;
  for (const property of Object.values(schema.properties ?? {})) close(property);
  if (schema.items !== undefined) close(schema.items);
  if (typeof schema.additionalProperties === 'object') close(schema.additionalProperties);
}
