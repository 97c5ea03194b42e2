/** All commands by name. The summary is repeated here so that `--help` loads no command. */
import type { Command } from "../command.ts";

/** One command before it is loaded. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** The status of a program in a bottle passes through; failures of ours, even in loading, end with 125. */
  readonly passesStatus?: true;
  load(): Promise<Command>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "start",
    summary: "start an agent in a new bottle",
    passesStatus: true,
    load: async () => (await import("./start.ts")).startCommand,
  },
  {
    name: "exec",
    summary: "run a program in a running bottle",
    passesStatus: true,
    load: async () => (await import("./exec.ts")).execCommand,
  },
  {
    name: "cp",
    summary: "copy files into or out of a bottle",
    load: async () => (await import("./cp.ts")).cpCommand,
  },
  {
    name: "stop",
    summary: "end a running bottle",
    load: async () => (await import("./stop.ts")).stopCommand,
  },
  {
    name: "logs",
    summary: "show what a bottle's parts wrote",
    load: async () => (await import("./logs.ts")).logsCommand,
  },
  {
    name: "list",
    summary: "list agents, or active bottles",
    load: async () => (await import("./list.ts")).listCommand,
  },
  {
    name: "info",
    summary: "show an agent or a bottle in detail",
    load: async () => (await import("./info.ts")).infoCommand,
  },
  {
    name: "cleanup",
    summary: "remove what dead bottles left",
    load: async () => (await import("./cleanup.ts")).cleanupCommand,
  },
  {
    name: "init",
    summary: "write a first bottle and agent",
    load: async () => (await import("./init.ts")).initCommand,
  },
  {
    name: "doctor",
    summary: "check what this machine can do",
    load: async () => (await import("./doctor.ts")).doctorCommand,
  },
  {
    name: "audit",
    summary: "show or verify a bottle's decisions",
    load: async () => (await import("./audit.ts")).auditCommand,
  },
  {
    name: "policy",
    summary: "show what a bottle may reach, and why",
    load: async () => (await import("./policy.ts")).policyCommand,
  },
  {
    name: "schema",
    summary: "print the JSON Schema of manifest files",
    load: async () => (await import("./schema.ts")).schemaCommand,
  },
  {
    name: "completion",
    summary: "print a shell's completion script",
    load: async () => (await import("./completion.ts")).completionCommand,
  },
  {
    name: "demo",
    summary: "see a bottle at work, without account or internet",
    passesStatus: true,
    load: async () => (await import("./demo.ts")).demoCommand,
  },
];

/** Commands that are ours alone: not in help, not in completion. */
export const HIDDEN_COMMANDS: readonly CommandEntry[] = [
  {
    name: "__complete",
    summary: "names for completion",
    load: async () => (await import("./complete.ts")).completeCommand,
  },
  {
    name: "__owner",
    summary: "own one bottle in the background",
    passesStatus: true,
    load: async () => (await import("./owner.ts")).ownerCommand,
  },
];
