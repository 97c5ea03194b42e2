/** The roots that `egress.upstream_ca` names: read at launch, and looked at before it. What is in a file is in no message. */
import { readFileSync, statSync } from "node:fs";
import type { Shortage } from "../backends/contract.ts";
import { type Issue, ManifestError, systemCode } from "../base/errors.ts";
import type { BottlePlan } from "./plan.ts";

type CaFiles = Pick<BottlePlan, "upstreamCaFiles" | "upstreamCaFrom">;

const HINT = "name a PEM file of certificates that you can read";

/** Reads the files. Throws ManifestError that says where the bottle file names the one that cannot be used. */
export function readUpstreamCa({ upstreamCaFiles, upstreamCaFrom }: CaFiles): readonly string[] {
  return upstreamCaFiles.map((path) => {
    const read = readPem(path);
    if ("pem" in read) return read.pem;
    const message = `egress.upstream_ca ${read.why}: ${path}`;
    const issue = { path: "egress.upstream_ca", message, hint: HINT };
    const issues: Issue[] = upstreamCaFrom === undefined ? [] : [{ ...upstreamCaFrom, ...issue }];
    throw new ManifestError("manifest.unreadable", message, { hint: HINT, issues });
  });
}

/** What is wrong with the files, as a dry run shows it. */
export function missingUpstreamCa({
  upstreamCaFiles,
  upstreamCaFrom,
}: CaFiles): readonly Shortage[] {
  const where = upstreamCaFrom === undefined ? "" : `, named in ${placeOf(upstreamCaFrom)}`;
  return upstreamCaFiles.flatMap((path) => {
    const read = readPem(path);
    if ("pem" in read) return [];
    return [{ what: `egress.upstream_ca ${read.why}: ${path}${where}`, hint: HINT }];
  });
}

const placeOf = ({ file, line }: { readonly file: string; readonly line: number }): string =>
  `${file}:${line}`;

function readPem(path: string): { readonly pem: string } | { readonly why: string } {
  try {
    // A pipe or a device would keep us for ever.
    if (!statSync(path).isFile()) return { why: "is not a regular file" };
    const pem = readFileSync(path, "utf8");
    return pem.includes("-----BEGIN CERTIFICATE-----")
      ? { pem }
      : { why: "holds no PEM certificate" };
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    return { why: code === "ENOENT" ? "does not exist" : `cannot be read (${code})` };
  }
}
