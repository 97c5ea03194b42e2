/** What the operator must still give before a bottle can start, all of it at once and without reading any value's content. Pure. */
import { type Issue, ManifestError, UsageError } from "../base/errors.ts";
import type { HostVariable } from "../manifest/types.ts";
import type { SecretPlan } from "./plan.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A variable of the host that has no value. */
export interface MissingVariable {
  readonly name: string;
  readonly seen: "not set" | "empty";
  readonly namedAt: readonly HostVariable[];
}

/** The host variables of a plan that are not set or empty, in the plan's order. */
export function missingVariables(
  plans: readonly SecretPlan[],
  env: Environment,
): readonly MissingVariable[] {
  const missing = new Map<string, MissingVariable>();
  for (const { source, namedAt = [] } of plans) {
    if (source.kind !== "env") continue;
    const value = env[source.name];
    if (value !== undefined && value !== "") continue;
    const seen = value === undefined ? "not set" : "empty";
    missing.set(source.name, { name: source.name, seen, namedAt });
  }
  return [...missing.values()];
}

/** The command that sets them, with the values left out. */
export function exportCommand(missing: readonly MissingVariable[]): string {
  return `export ${missing.map(({ name }) => `${name}=…`).join(" ")}`;
}

/** Throws ManifestError, or UsageError where nobody can be asked, with everything that is missing. */
export function requireInputs(
  plans: readonly SecretPlan[],
  ports: { readonly env: Environment; readonly prompt: unknown },
): void {
  const missing = missingVariables(plans, ports.env);
  if (missing.length > 0) throw missingError(missing);
  if (ports.prompt === undefined) requireNoPrompt(plans);
}

function missingError(missing: readonly MissingVariable[]): ManifestError {
  const [only] = missing;
  const message =
    missing.length === 1 && only !== undefined
      ? `host variable ${only.name} is ${only.seen}; the manifest names it`
      : `${missing.length} host variables that the manifest names have no value: ${missing.map(({ name }) => name).join(", ")}`;
  return new ManifestError("manifest.missing-variable", message, {
    hint: `${exportCommand(missing)} and start again`,
    issues: missing.flatMap(issuesOf),
  });
}

function issuesOf({ name, seen, namedAt }: MissingVariable): readonly Issue[] {
  return namedAt.map(({ file, line, column, path }) => ({
    file,
    line,
    column,
    path,
    message: `${path} needs the host variable ${name}, which is ${seen}`,
    hint: `export ${name}=…`,
  }));
}

function requireNoPrompt(plans: readonly SecretPlan[]): void {
  const names = plans.flatMap(({ source }) => (source.kind === "prompt" ? [source.name] : []));
  if (names.length === 0) return;
  const subject =
    names.length === 1
      ? `variable ${names[0]} is asked for`
      : `variables ${names.join(", ")} are asked for`;
  throw new UsageError("usage.not-a-terminal", `${subject} ("?"), and no terminal is attached`, {
    hint: `write ${names.map((name) => `\${${name}}`).join(", ")} in the bottle file and export ${names.join(", ")}, or start from a terminal`,
  });
}
