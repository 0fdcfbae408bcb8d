import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

const PREFIXES = ['OTEL_EXPORTER_OTLP', 'OTEL_EXPORTER_OTLP_TRACES', 'OTEL_EXPORTER_OTLP_METRICS'];
const FILES = {
  CERTIFICATE: { what: 'a certificate', parse: (pem: Buffer) => new X509Certificate(pem) },
  CLIENT_CERTIFICATE: { what: 'a certificate', parse: (pem: Buffer) => new X509Certificate(pem) },
  CLIENT_KEY: { what: 'a private key', parse: (pem: Buffer) => createPrivateKey(pem) },
} as const;

/**
 * Returns one problem for each file that OpenTelemetry's variables name and that can't be used. The SDK
 * only logs such a file and continues without it, so that every export fails against the collector.
 */
export function otlpFileProblems(env: NodeJS.ProcessEnv): string[] {
  if (env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true') return [];
  return PREFIXES.flatMap((prefix) =>
    Object.entries(FILES).flatMap(([suffix, { what, parse }]) => {
      const name = `${prefix}_${suffix}`;
      const path = env[name]?.trim();
      if (!path) return [];
      let pem: Buffer;
      try {
        pem = readFileSync(path);
      } catch (error) {
        return [`${name} names '${path}', which can't be read: ${(error as Error).message}`];
      }
      try {
        parse(pem);
        return [];
      } catch {
        return [`${name} names '${path}', which does not hold ${what} in PEM`];
      }
    }),
  );
}
