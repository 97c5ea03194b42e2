/** What a planned start would lack now, and what it would try out: everything by looking, so that asking costs and changes nothing. */
import { statSync } from "node:fs";
import type { Backend, BackendPorts, Shortage } from "../backends/contract.ts";
import { systemCode } from "../base/errors.ts";
import { exportCommand, missingVariables } from "./missing-inputs.ts";
import type { BottlePlan, SecretPlan } from "./plan.ts";
import { missingUpstreamCa } from "./upstream-ca.ts";

/** What a look at the machine found about a plan. */
export interface StartPreview {
  readonly missing: readonly Shortage[];
  /** What a start tries out or asks, and this look did not. */
  readonly skipped: readonly string[];
}

interface PreviewInput {
  readonly ports: BackendPorts;
  /** What planning left out, and what it found missing. */
  readonly skipped: readonly string[];
  readonly shortages: readonly Shortage[];
}

/** Looks at the machine for a plan. */
export async function previewStart(
  plan: BottlePlan,
  backend: Backend,
  { ports, skipped, shortages }: PreviewInput,
): Promise<StartPreview> {
  const isHeadless = plan.agent.mode === "headless";
  const seen = (await backend.look?.(plan.guest, ports)) ?? [];
  const missing = [
    ...shortages.filter(({ what }) => seen.every((other) => other.what !== what)),
    ...seen,
    ...shortVariables(plan.secrets, ports.env),
    ...plan.secrets.flatMap(shortFile),
    ...missingUpstreamCa(plan),
    ...(isHeadless ? plan.secrets.flatMap(shortAnswer) : []),
  ];
  const questions = isHeadless ? [] : plan.secrets.flatMap(describeQuestion);
  return { missing, skipped: [...skipped, ...questions, ...plan.secrets.flatMap(describeCommand)] };
}

function shortVariables(
  secrets: readonly SecretPlan[],
  env: BackendPorts["env"],
): readonly Shortage[] {
  return missingVariables(secrets, env).map((variable) => {
    const { name, seen, namedAt } = variable;
    const places = namedAt.map(({ file, line, path }) => `${path} in ${file}:${line}`);
    const why = places.length === 0 ? "" : `, needed by ${places.join(" and ")}`;
    return { what: `host variable ${name} is ${seen}${why}`, hint: exportCommand([variable]) };
  });
}

/** Only whether it is there: what is in it is read by the start. */
function shortFile({ source }: SecretPlan): readonly Shortage[] {
  if (source.kind !== "file") return [];
  try {
    const info = statSync(source.path);
    if (!info.isFile()) return [fileShortage(source, "is not a regular file")];
    if ((info.mode & 0o077) === 0) return [];
    return [fileShortage(source, "may be read by others", `chmod 600 ${source.path}`)];
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    return [fileShortage(source, code === "ENOENT" ? "does not exist" : `cannot be seen: ${code}`)];
  }
}

function fileShortage(
  { name, path }: { readonly name: string; readonly path: string },
  why: string,
  hint: string = `write the value into ${path}`,
): Shortage {
  return { what: `secret ${name}: ${path} ${why}`, hint };
}

/** A headless start asks nobody. */
function shortAnswer({ source }: SecretPlan): readonly Shortage[] {
  if (source.kind !== "prompt") return [];
  const { name } = source;
  const hint = `write \${${name}} in the bottle file and export ${name}=…, or start from a terminal`;
  return [{ what: `variable ${name} is asked for ("?"), and a headless start asks nobody`, hint }];
}

function describeQuestion({ source }: SecretPlan): readonly string[] {
  return source.kind === "prompt" ? [`the value of ${source.name}: the terminal is asked`] : [];
}

function describeCommand({ source }: SecretPlan): readonly string[] {
  return source.kind === "command" ? [`the command for ${source.name}: ${source.argv[0]}`] : [];
}
