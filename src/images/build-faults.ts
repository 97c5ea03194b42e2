/** What is wrong with the settings of image builds before anything is built. Reads only. */
import { readFileSync, statSync } from "node:fs";
import { BottleError, LaunchError, messageOf, systemCode } from "../base/errors.ts";
import type { ImagePorts } from "./contract.ts";
import { parseBuildSettings } from "./resolve-build.ts";

/** The faults, each with what to do. */
export function findBuildFaults(
  env: ImagePorts["env"],
): readonly { readonly what: string; readonly hint: string | undefined }[] {
  try {
    const { buildCa } = parseBuildSettings(env);
    if (buildCa !== undefined) requireBuildCa(buildCa);
    return [];
  } catch (error) {
    if (!(error instanceof BottleError)) throw error;
    return [{ what: messageOf(error), hint: error.hint }];
  }
}

/** A file that is copied into a build must be there, hold certificates, and no key. Throws LaunchError `launch.image`. */
export function requireBuildCa(path: string): void {
  const seen = findCaFault(path);
  if (seen === undefined) return;
  throw new LaunchError(
    "launch.image",
    `BOT_BOTTLE_BUILD_CA is "${path}", which ${seen}; a PEM file with certificates only is expected`,
    { hint: "set it to the roots of your package registry, or unset it; see docs/images.md" },
  );
}

function findCaFault(path: string): string | undefined {
  try {
    if (!statSync(path).isFile()) return "is no file";
    const text = readFileSync(path, "latin1");
    const hasCertificate = text.includes("-----BEGIN CERTIFICATE-----");
    return hasCertificate && !text.includes("PRIVATE KEY-----")
      ? undefined
      : "holds no certificates, or a private key";
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    return code === "ENOENT" ? "does not exist" : `cannot be read: ${code}`;
  }
}
