/** Makes the certificate authority of one bottle: ECDSA P-256, short-lived, and strict enough for every verifier. */
import { createHash, generateKeyPairSync } from "node:crypto";
import {
  authorityExtensions,
  BACKDATE_MS,
  DAY_MS,
  encodeName,
  encodePem,
  keyIdentifier,
  signCertificate,
} from "./certificate.ts";

/** Days that an authority lives; it is renewed when its bottle is resumed. */
export const DEFAULT_AUTHORITY_DAYS = 30;

export interface AuthorityOptions {
  readonly commonName: string;
  /** Wall-clock time in milliseconds since the Unix epoch. */
  readonly now: number;
  readonly days?: number;
}

/** A certificate authority; the key is a secret and belongs in a `Secret` at once. */
export interface CertificateAuthority {
  readonly certificatePem: string;
  /** PKCS #8. */
  readonly keyPem: string;
  /** SHA-256 of the certificate: upper-case hex pairs with colons, as programs show it. */
  readonly fingerprint256: string;
}

/** Makes a new authority with a new key. */
export function createAuthority(options: AuthorityOptions): CertificateAuthority {
  const { commonName, now, days = DEFAULT_AUTHORITY_DAYS } = options;
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const name = encodeName(commonName);
  const certificate = signCertificate(
    {
      issuer: name,
      subject: name,
      publicKey: spki,
      notBeforeMs: now - BACKDATE_MS,
      notAfterMs: now + days * DAY_MS,
      extensions: authorityExtensions(keyIdentifier(spki)),
    },
    privateKey,
  );
  const digest = createHash("sha256").update(certificate).digest("hex").toUpperCase();
  return {
    certificatePem: encodePem("CERTIFICATE", certificate),
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    fingerprint256: (digest.match(/../g) ?? []).join(":"),
  };
}
