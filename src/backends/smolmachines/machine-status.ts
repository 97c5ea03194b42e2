/** What smolvm says of a machine, read tolerantly, and what in it would mean that the machine is not cut off. */
import * as z from "zod/mini";
import { LaunchError } from "../../base/errors.ts";
import { parseJson } from "../../base/json.ts";

const statusSchema = z.object({
  name: z.string(),
  state: z.string(),
  network: z.boolean(),
  ports: z.number(),
  mounts: z.number(),
  cpus: z.number(),
  memory_mib: z.number(),
  labels: z.catch(z.record(z.string(), z.string()), {}),
  pid: z.nullable(z.int()),
});

/** The fields that we use. */
export type MachineStatus = z.infer<typeof statusSchema>;

/** What a machine must be. */
export interface ExpectedMachine {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly mounts: number;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly states: readonly string[];
}

/** Reads `machine status --json`. Throws LaunchError `launch.backend`. */
export function parseStatus(text: string): MachineStatus {
  try {
    const status = statusSchema.safeParse(parseJson(text));
    if (status.success) return status.data;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new LaunchError(
    "launch.backend",
    "smolvm's status of the machine cannot be read: an object with name, state, network, ports and mounts is expected",
    { hint: "run bot-bottle doctor; this smolvm may be too new" },
  );
}

/** What differs from what was asked for; empty when nothing. */
export function findStatusFaults(
  status: MachineStatus,
  expected: ExpectedMachine,
): readonly string[] {
  const faults: string[] = [];
  const expect = (name: string, seen: unknown, wanted: unknown): void => {
    if (seen !== wanted) faults.push(`${name} is ${String(seen)}, not ${String(wanted)}`);
  };
  expect("the machine's name", status.name, expected.name);
  expect("its network", status.network, false);
  expect("the number of its ports", status.ports, 0);
  expect("the number of its mounts", status.mounts, expected.mounts);
  expect("the number of its processors", status.cpus, expected.cpus);
  expect("its memory in MiB", status.memory_mib, expected.memoryMiB);
  for (const [label, value] of Object.entries(expected.labels))
    expect(`its label ${label}`, status.labels[label], value);
  if (!expected.states.includes(status.state))
    faults.push(`its state is ${status.state}, not ${expected.states.join(" or ")}`);
  return faults;
}
