/** Renders a guest plan to the arguments of smolvm 0.8.0 to 1.0.1, in the order in which they are used. Pure. */
import type { HostPath } from "../../../base/ids.ts";
import type { GuestPlan } from "../../contract.ts";
import { type Access, reach } from "../access.ts";
import { hasFlag, type SmolvmFeatures } from "../features.ts";
import { MAX_VOLUMES_OLD, machineName, machineSize, planVolumes } from "../render.ts";
import { nameArgs } from "./require-tsi.ts";

/** In the guest: where files of ours lie for a moment. Not /tmp or /run, which are mounted over once the workload runs. */
export const GUEST_INBOX = "/var/lib/bot-bottle";

/** What is known of this host and this launch beside the plan. */
export interface TsiLayout {
  readonly access: Access;
  readonly features: SmolvmFeatures;
  /** The packed image. */
  readonly pack: HostPath;
  readonly hostCpus: number;
  readonly hostMemoryMiB: number;
  /** The bottle's own address of the host's loopback: the one thing that the guest reaches. */
  readonly alias: string;
}

/** The allowlist's only entry. */
export function allowedCidr({ alias }: Pick<TsiLayout, "alias">): string {
  return `${alias}/32`;
}

/** Packs an image of a registry; the file that `create --from` takes is `out` with a suffix. */
export function renderPack(reference: string, out: string): readonly string[] {
  return ["pack", "create", "--image", reference, "-o", out];
}

/** Creates the machine. The network is asked for, because a machine made of a pack has none by itself. */
export function renderCreate(plan: GuestPlan, layout: TsiLayout): readonly string[] {
  const { access, features } = layout;
  const { cpus, memoryMiB } = machineSize(plan, layout);
  return [
    ...["machine", "create", ...nameArgs(features, "create", machineName(plan.id))],
    ...["--from", reach(access, layout.pack)],
    ...["--net", "--allow-cidr", allowedCidr(layout)],
    ...["--cpus", String(cpus), "--mem", String(memoryMiB)],
    ...planVolumes(plan, undefined).flatMap(({ hostPath, guestPath, isReadOnly }) => [
      "--volume",
      `${reach(access, hostPath)}:${guestPath}${isReadOnly ? ":ro" : ""}`,
    ]),
  ];
}

/** Runs a shell script in the machine. */
export function renderShell(
  features: SmolvmFeatures,
  machine: string,
  script: readonly string[],
): readonly string[] {
  const exec = ["machine", "exec", ...nameArgs(features, "exec", machine)];
  return [...exec, "--", "/bin/sh", "-c", ...script];
}

/** Runs a program on a terminal; values of variables are never among the arguments. */
export function renderTerminal(
  features: SmolvmFeatures,
  machine: string,
  argv: readonly string[],
): readonly string[] {
  return [
    ...["machine", "exec", ...nameArgs(features, "exec", machine)],
    ...(hasFlag(features, "exec", "interactive") ? ["--interactive"] : []),
    "--tty",
    "--",
    ...argv,
  ];
}

/** Copies a file of ours into the machine, where it belongs to root. */
export function renderCopy(
  access: Access,
  source: HostPath,
  target: { readonly machine: string; readonly path: string },
): readonly string[] {
  return ["machine", "cp", reach(access, source), `${target.machine}:${target.path}`];
}

/** What smolvm would take and must not be given; empty when nothing. */
export function findPlanFaults(plan: GuestPlan, layout: TsiLayout): readonly string[] {
  const { access } = layout;
  const volumes = planVolumes(plan, undefined);
  return [
    ...(volumes.length > MAX_VOLUMES_OLD
      ? [
          `${volumes.length} directories are shared; machines of this smolvm have at most ${MAX_VOLUMES_OLD}`,
        ]
      : []),
    ...[...volumes.map(({ hostPath }) => reach(access, hostPath)), reach(access, layout.pack)]
      .filter((path) => /[:,\n]/.test(path))
      .map(
        (path) =>
          `"${path}" cannot be given to smolvm: its name holds a colon, a comma or a line break`,
      ),
  ];
}
