import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';

/** A certificate with its key, both PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

interface Authority extends Certificate {
  /** A certificate for a server's names or addresses, or a user's name. */
  issue(commonName: string, ...hosts: string[]): Certificate;
}

/** A private certificate authority, like that of a platform team. */
export function authority(commonName: string): Authority {
  const { publicKey, privateKey } = newPair();
  const name = nameOf(commonName);
  const made = make({ issuer: name, subject: name, publicKey, signedBy: privateKey, hosts: null });
  return {
    cert: made,
    key: pem(privateKey),
    issue(subject, ...hosts) {
      const pair = newPair();
      return {
        cert: make({
          issuer: name,
          subject: nameOf(subject),
          publicKey: pair.publicKey,
          signedBy: privateKey,
          hosts,
        }),
        key: pem(pair.privateKey),
      };
    },
  };
}

const newPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();

// The required subset of X.509 (RFC 5280) in DER (X.690): Node can sign, but can't create certificates.
const ECDSA_SHA256 = der(0x30, oid('2a8648ce3d040302'));

/** Encodes a certificate; an authority if `hosts` is null. */
function make(options: {
  issuer: Buffer;
  subject: Buffer;
  publicKey: KeyObject;
  signedBy: KeyObject;
  hosts: readonly string[] | null;
}): string {
  const { issuer, subject, publicKey, signedBy, hosts } = options;
  const time = (text: string) => der(0x17, Buffer.from(text));
  const extension = (id: string, value: Buffer) => der(0x30, oid(id), der(0x04, value));
  const extensions =
    hosts === null
      ? [extension('551d13', der(0x30, der(0x01, Buffer.from([0xff]))))] // basicConstraints: CA
      : hosts.length === 0
        ? []
        : [extension('551d11', der(0x30, ...hosts.map(alternativeName)))];
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.concat([Buffer.from([0x40]), randomBytes(8)])),
    ECDSA_SHA256,
    issuer,
    der(0x30, time('200101000000Z'), time('491231235959Z')),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length === 0 ? [] : [der(0xa3, der(0x30, ...extensions))]),
  );
  const signature = sign('sha256', body, signedBy);
  const whole = der(0x30, body, ECDSA_SHA256, der(0x03, Buffer.from([0]), signature));
  const lines = whole.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function nameOf(commonName: string): Buffer {
  return der(0x30, der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from(commonName)))));
}

function alternativeName(host: string): Buffer {
  return isIP(host) === 4
    ? der(0x87, Buffer.from(host.split('.').map(Number)))
    : der(0x82, Buffer.from(host));
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
