/**
 * The roots that the operator's machine trusts, for a bundle whose own /etc is an image's. They are copied into the cache, under
 * a name made of their content, because an engine in a virtual machine sees the operator's home and not the machine's /etc.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, systemCode } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";

/** Where distributions and macOS keep them in one file. */
const ROOT_FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
] as const;
/** Characters of the digest in the name. */
const DIGEST_CHARS = 16;

/** Path of the copy; undefined where the machine has no such file, or the cache takes none: the image's roots hold then. */
export function copyHostRoots(cacheDir: string, log: Logger): string | undefined {
  try {
    const source = ROOT_FILES.find((path) => existsSync(path));
    if (source === undefined) return undefined;
    const roots = readFileSync(source);
    const digest = createHash("sha256").update(roots).digest("hex").slice(0, DIGEST_CHARS);
    const directory = join(cacheDir, "roots");
    const copy = join(directory, `${digest}.pem`);
    if (existsSync(copy)) return copy;
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    // Another launch may write the same: what is seen under the name is always whole.
    const unfinished = `${copy}.${process.pid}`;
    writeFileSync(unfinished, roots, { mode: 0o644 });
    renameSync(unfinished, copy);
    return copy;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    log.warn("the machine's roots are not given to the bundle", { error: messageOf(error) });
    return undefined;
  }
}
