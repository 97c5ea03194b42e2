/** Mints leaf certificates of a bottle's authority: one key per process, a new certificate per host. */
import type { KeyObject } from "node:crypto";
import { isIP, SocketAddress } from "node:net";
import { invariant } from "../base/assert.ts";
import {
  BACKDATE_MS,
  DAY_MS,
  encodeName,
  encodePem,
  keyIdentifier,
  leafExtensions,
  signCertificate,
} from "./certificate.ts";
import { crypto } from "./crypto.ts";
import { readTlvs } from "./der.ts";

/** Days that a leaf lives, or less when its authority ends before. */
export const LEAF_DAYS = 7;

export interface LeafMinterOptions {
  readonly certificatePem: string;
  readonly keyPem: string;
  /** Wall-clock time in milliseconds since the Unix epoch; asked at each minting. */
  readonly now: () => number;
}

/** A leaf and its key in the form that TLS contexts take. */
export interface Leaf {
  readonly certPem: string;
  readonly keyPem: string;
  /** When it ends, in milliseconds since the Unix epoch. */
  readonly notAfterMs: number;
}

export interface LeafMinter {
  /** Mints for a canonical host. Throws BugError for a host that no authority parser has passed. */
  mint(host: string): Leaf;
}

interface Issuer {
  readonly name: Buffer;
  readonly keyId: Buffer;
  readonly key: KeyObject;
  readonly endsAtMs: number;
}

/** Prepares minting. Throws BugError when the key does not belong to the certificate. */
export function createLeafMinter(options: LeafMinterOptions): LeafMinter {
  const issuer = readIssuer(options);
  const { publicKey, privateKey } = crypto().generateKeyPairSync("ec", {
    namedCurve: "prime256v1",
  });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const keyId = keyIdentifier(spki);
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const mint = (host: string): Leaf => {
    const now = options.now();
    const notAfterMs = Math.min(now + LEAF_DAYS * DAY_MS, issuer.endsAtMs);
    const certificate = signCertificate(
      {
        issuer: issuer.name,
        subject: encodeName(host),
        publicKey: spki,
        notBeforeMs: now - BACKDATE_MS,
        notAfterMs,
        extensions: leafExtensions(alternativeName(host), keyId, issuer.keyId),
      },
      issuer.key,
    );
    return { certPem: encodePem("CERTIFICATE", certificate), keyPem, notAfterMs };
  };
  return { mint };
}

function readIssuer(options: LeafMinterOptions): Issuer {
  const { X509Certificate, createPrivateKey } = crypto();
  const certificate = new X509Certificate(options.certificatePem);
  const key = createPrivateKey(options.keyPem);
  invariant(certificate.checkPrivateKey(key), "the authority's key belongs to its certificate");
  const body = readTlvs(readTlvs(certificate.raw)?.[0]?.content ?? Buffer.alloc(0));
  const fields = readTlvs(body?.[0]?.content ?? Buffer.alloc(0));
  // Fields of TBSCertificate v3: version, serial, algorithm, issuer, validity, subject.
  const name = fields?.[5]?.raw;
  invariant(name !== undefined, "the authority's certificate has a subject");
  const spki = certificate.publicKey.export({ type: "spki", format: "der" });
  const endsAtMs = certificate.validToDate.getTime();
  return { name, keyId: keyIdentifier(spki), key, endsAtMs };
}

const DNS_NAME =
  /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;

function alternativeName(host: string): { kind: "dns" | "ip"; bytes: Buffer } {
  const family = isIP(host);
  if (family === 4) return { kind: "ip", bytes: Buffer.from(host.split(".").map(Number)) };
  if (family === 6) return { kind: "ip", bytes: ipv6Bytes(host) };
  invariant(DNS_NAME.test(host), "a leaf is minted for canonical hosts only");
  return { kind: "dns", bytes: Buffer.from(host, "latin1") };
}

function ipv6Bytes(host: string): Buffer {
  // The platform's own canonical form leaves only "::" to expand.
  const { address } = new SocketAddress({ address: host, family: "ipv6" });
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const plain =
    dotted === null
      ? address
      : address.slice(0, dotted.index) +
        [dotted.slice(1, 3), dotted.slice(3, 5)]
          .map(([high, low]) => (Number(high) * 256 + Number(low)).toString(16))
          .join(":");
  const [head = "", tail] = plain.split("::");
  const first = groups(head);
  const last = groups(tail ?? "");
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
