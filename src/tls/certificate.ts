/** Encodes and signs X.509 v3 certificates with ECDSA P-256 and SHA-256 (RFC 5280, RFC 5758). */
import type { KeyObject } from "node:crypto";
import { crypto } from "./crypto.ts";
import { bitString, encodeTlv, integer, oid, sequence, TAG, time } from "./der.ts";

/** Milliseconds of one day. */
export const DAY_MS = 86_400_000;
/** Certificates begin this much earlier, because a guest's clock may run behind. */
export const BACKDATE_MS = 3_600_000;

const OID = {
  ecdsaSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAlternativeName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
} as const;

/** Longest common name (RFC 5280, ub-common-name). */
const MAX_COMMON_NAME = 64;
const ORGANIZATION = "bot-bottle";

/** What is signed. */
export interface CertificateFields {
  /** DER of the issuer's name. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** DER of SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly extensions: readonly Uint8Array[];
}

/** DER of a name: organisation and common name, the latter left out where it would be too long. */
export function encodeName(commonName: string): Buffer {
  const part = (type: string, text: string): Buffer =>
    encodeTlv(TAG.set, sequence(oid(type), encodeTlv(TAG.utf8String, Buffer.from(text, "utf8"))));
  const organization = part(OID.organization, ORGANIZATION);
  if (commonName === "" || commonName.length > MAX_COMMON_NAME) return sequence(organization);
  return sequence(organization, part(OID.commonName, commonName));
}

/** Key identifier: the first 160 bits of the SHA-256 of the key's bits (RFC 7093, method 1). */
export function keyIdentifier(publicKey: Buffer): Buffer {
  // SubjectPublicKeyInfo of P-256 ends with the 65 bytes of the uncompressed point.
  const bits = publicKey.subarray(-65);
  return crypto().createHash("sha256").update(bits).digest().subarray(0, 20);
}

function extension(id: string, isCritical: boolean, value: Uint8Array): Buffer {
  const critical = isCritical ? [encodeTlv(TAG.boolean, Buffer.from([0xff]))] : [];
  return sequence(oid(id), ...critical, encodeTlv(TAG.octetString, value));
}

/** Extensions of an authority that signs leaves and nothing below them. */
export function authorityExtensions(keyId: Uint8Array): readonly Buffer[] {
  const isCa = encodeTlv(TAG.boolean, Buffer.from([0xff]));
  return [
    extension(OID.basicConstraints, true, sequence(isCa, integer(Buffer.from([0])))),
    // keyCertSign and cRLSign: bits 5 and 6.
    extension(OID.keyUsage, true, bitString(Buffer.from([0x06]), 1)),
    extension(OID.subjectKeyIdentifier, false, encodeTlv(TAG.octetString, keyId)),
    authorityKey(keyId),
  ];
}

const authorityKey = (keyId: Uint8Array): Buffer =>
  extension(OID.authorityKeyIdentifier, false, sequence(encodeTlv(0x80, keyId)));

/** Extensions of a server's leaf for one DNS name or address. */
export function leafExtensions(
  name: { readonly kind: "dns" | "ip"; readonly bytes: Uint8Array },
  keyId: Uint8Array,
  authorityKeyId: Uint8Array,
): readonly Buffer[] {
  const alternative = encodeTlv(name.kind === "dns" ? 0x82 : 0x87, name.bytes);
  return [
    extension(OID.basicConstraints, true, sequence()),
    // digitalSignature: bit 0.
    extension(OID.keyUsage, true, bitString(Buffer.from([0x80]), 7)),
    extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth))),
    extension(OID.subjectAlternativeName, false, sequence(alternative)),
    extension(OID.subjectKeyIdentifier, false, encodeTlv(TAG.octetString, keyId)),
    authorityKey(authorityKeyId),
  ];
}

/** Encodes and signs a certificate with a random serial number; returns its DER. */
export function signCertificate(fields: CertificateFields, key: KeyObject): Buffer {
  const algorithm = sequence(oid(OID.ecdsaSha256));
  // 127 random bits below a set bit: positive, never short.
  const serial = crypto().randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = sequence(
    encodeTlv(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm,
    fields.issuer,
    sequence(time(fields.notBeforeMs), time(fields.notAfterMs)),
    fields.subject,
    fields.publicKey,
    encodeTlv(0xa3, sequence(...fields.extensions)),
  );
  return sequence(body, algorithm, bitString(crypto().sign("sha256", body, key)));
}

/** Wraps DER in PEM. */
export function encodePem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
