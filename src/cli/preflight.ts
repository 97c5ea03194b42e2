/** What the operator sees before a bottle starts, and the same as JSON. Names only, never a secret's value. */
import type { BottlePlan, StartPreview } from "../index.ts";
import { explainRoute } from "../index.ts";
import { cleanLine } from "./clean-text.ts";
import type { Palette } from "./output.ts";

/** The plan as `start --dry-run --json` prints it. */
export function describePlan(plan: BottlePlan, preview: StartPreview | undefined): unknown {
  return {
    version: plan.version,
    slug: plan.id,
    agent: plan.agentName,
    bottles: plan.bottleNames,
    provider: plan.provider,
    label: plan.label,
    color: plan.color,
    backend: plan.backend,
    attachment: plan.attachment,
    image: plan.guest.image ?? null,
    runtime: plan.guest.runtime ?? null,
    network: plan.guest.network ?? null,
    mode: plan.agent.mode,
    argv: plan.agent.argv,
    cwd: plan.agent.cwd,
    workspace: plan.workspace,
    env_names: envNames(plan),
    env: visibleEnv(plan),
    secrets: plan.secrets.map(({ slot, source, guestVariable }) => ({
      slot,
      from: source.kind,
      name: source.name,
      guest_variable: guestVariable,
    })),
    egress: {
      routes: plan.policy.routes,
      resolve: plan.policy.resolve,
      upstream_ca: plan.upstreamCaFiles,
    },
    doors: plan.guest.doors,
    mounts: plan.guest.mounts,
    limits: plan.guest.limits,
    skills: plan.skills.map((skill) => skill.name),
    files: plan.files.map(({ path, mode }) => ({ path, mode: mode.toString(8) })),
    bundle: { daemons: plan.bundle.daemons.map((daemon) => daemon.name) },
    state: plan.paths.state,
    notes: plan.notes,
    warnings: plan.warnings,
    missing: (preview?.missing ?? []).map(({ what, hint }) => ({ what, hint: hint ?? null })),
    not_tried: preview?.skipped ?? [],
  };
}

function visibleEnv(plan: BottlePlan): Record<string, string> {
  const hidden = new Set(plan.agent.hiddenEnvNames);
  return Object.fromEntries(Object.entries(plan.agent.env).filter(([name]) => !hidden.has(name)));
}

function envNames(plan: BottlePlan): string[] {
  const given = plan.secrets.flatMap(({ guestVariable, source }) =>
    guestVariable === undefined || source.kind === "generated" ? [] : [guestVariable],
  );
  return [...Object.keys(visibleEnv(plan)), ...given].sort();
}

/** What the guest's root is, on backends that run images. */
function imageRows({ guest }: BottlePlan, row: (name: string, text: string) => string): string[] {
  if (guest.image === undefined) return [];
  const { image, runtime } = guest;
  const built = { provider: "made from our Dockerfile", dockerfile: "made from its Dockerfile" };
  const text = image.kind === "reference" ? image.reference : `${image.tag}, ${built[image.kind]}`;
  return [row("image", text), ...(runtime === undefined ? [] : [row("runtime", runtime)])];
}

/** The summary for people. */
export function renderPreflight(plan: BottlePlan, color: Palette): string {
  const row = (name: string, text: string): string => `  ${color.dim(name.padEnd(11))}${text}`;
  const given = plan.secrets.flatMap(({ guestVariable, source }) =>
    guestVariable === undefined || source.kind === "generated" ? [] : [guestVariable],
  );
  const routes = plan.policy.routes.map((route) => explainRoute(route));
  const rows = [
    `${color.bold(plan.id)}: ${plan.agentName} (${plan.provider}) in ${plan.bottleNames.join(" + ")}`,
    row("backend", `${plan.backend}, attachment ${plan.attachment}`),
    ...imageRows(plan, row),
    row("runs", plan.agent.argv.join(" ")),
    row(
      "workspace",
      plan.workspace === undefined ? "none" : `a copy of ${plan.workspace.hostSource}`,
    ),
    row("reaches", routes[0] ?? "no host"),
    ...routes.slice(1).map((route) => row("", route)),
    ...(given.length === 0
      ? []
      : [row("given", `${given.join(", ")} ${color.yellow("(the guest has these values)")}`)]),
    ...(plan.skills.length === 0
      ? []
      : [row("skills", plan.skills.map((skill) => skill.name).join(", "))]),
    ...plan.guest.mounts.map((mount) =>
      row("mount", `${mount.hostPath} on ${mount.guestPath}, read-only`),
    ),
    ...plan.notes.map((note) => row("note", note)),
    ...plan.warnings.map((warning) => row("warning", color.yellow(warning))),
  ];
  return rows.join("\n");
}

/** What `--dry-run` adds: what is missing now, and what it did not try. */
export function renderPreview(preview: StartPreview | undefined, color: Palette): string[] {
  if (preview === undefined) return [];
  const row = (name: string, text: string): string => `  ${color.dim(name.padEnd(11))}${text}`;
  const { missing, skipped } = preview;
  return [
    ...missing.flatMap(({ what, hint }) => [
      row("missing", color.red(cleanLine(what))),
      ...(hint === undefined ? [] : [row("", `${color.yellow("hint")}: ${cleanLine(hint)}`)]),
    ]),
    ...skipped.map((text) => row("not tried", cleanLine(text))),
    missing.length === 0
      ? "nothing was started; nothing is missing as far as can be seen"
      : `nothing was started; a start would fail: ${missing.length} missing`,
  ];
}
