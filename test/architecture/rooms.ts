// The one table of allowed arrows between the rooms of src/: an import that is not here fails CI.
// A pattern names a module below src/ without `.ts`, or a folder and all below it; `*` is one
// path segment, `=` is what `*` matched in the room's own name. A room may always import itself.

/** One room: the files it holds and what they may import. */
export type Room = {
  readonly room: string;
  readonly may: readonly string[];
  /** Files other rooms may import; absent while every file is a door. */
  readonly doors?: readonly string[];
  /** False where only Node's own modules may be imported. */
  readonly packages?: false;
  /** What to do instead, printed with a violation. */
  readonly instead: string;
};

const BELOW_SIDECARS = ["base", "process", "policy", "protocol", "tls"];
const BACKEND = [
  "base",
  "process",
  "protocol",
  "engine",
  "images",
  "backends/contract",
  "backends/shared",
];
const BUNDLE = [
  "base",
  "process",
  "policy",
  "protocol",
  "tls",
  "engine",
  "images",
  "sidecars/descriptor",
  "backends/contract",
];
const BELOW_BOTTLE = [
  ...BUNDLE,
  "manifest",
  "providers",
  "provision",
  "bundle",
  "guest-init",
  "backends/contract",
  "backends/capabilities",
  "backends/registry",
  "backends/shared",
];

/** The first room whose name matches a file is its room. */
export const ROOMS: readonly Room[] = [
  { room: "base", may: [], packages: false, instead: "base imports Node only: move the code up" },
  { room: "process", may: ["base"], packages: false, instead: "take what you need as an argument" },
  { room: "policy", may: ["base"], packages: false, instead: "policy is pure: take it as data" },
  { room: "protocol", may: ["base", "policy"], instead: "send it as a frame, or move it up" },
  { room: "tls", may: ["base"], instead: "take it as an argument" },
  {
    room: "engine",
    may: ["base"],
    instead: "engine speaks the container engine's API and knows nothing of bottles",
  },
  {
    room: "images",
    may: ["base", "process", "engine", "backends/contract"],
    instead: "images builds and finds images by a plan; who runs them is not its business",
  },
  { room: "manifest", may: ["base", "policy"], instead: "describe it as data in the manifest" },
  { room: "providers", may: ["base", "policy", "manifest"], instead: "describe it as data" },
  {
    room: "provision",
    may: [
      "base",
      "process",
      "policy",
      "protocol",
      "tls",
      "manifest",
      "providers",
      "backends/contract",
      "backends/shared",
    ],
    instead: "take it as an argument from bottle",
  },
  {
    room: "sidecars/descriptor",
    may: ["base", "policy", "protocol", "sidecars/*/config"],
    instead: "the descriptor is data only: name, entry, config schema, ports, readiness",
  },
  {
    room: "sidecars/*",
    may: [...BELOW_SIDECARS, "sidecars/descriptor"],
    instead: "a sidecar gets its slice of the plan; what two sidecars share lies in policy",
  },
  {
    room: "bundle/main",
    may: [...BUNDLE, "bundle", "sidecars/*/daemon"],
    instead: "import a sidecar's daemon.ts; everything else comes with the plan",
  },
  {
    room: "bundle/suffixes",
    may: ["manifest/public-suffix"],
    instead: "it is a file of its own beside the bundle, for the one list",
  },
  { room: "bundle", may: BUNDLE, instead: "bundle gets a plan; daemons are for bundle/main.ts" },
  { room: "guest-init", may: ["base", "process", "protocol"], instead: "send it as an init frame" },
  {
    room: "backends/contract",
    may: ["base", "process", "protocol"],
    instead: "the contract speaks only of the guest plan and Exec",
  },
  {
    room: "backends/capabilities",
    may: ["base", "backends/contract"],
    instead: "capabilities are data",
  },
  {
    room: "backends/registry",
    may: [...BACKEND, "backends/capabilities", "backends/*"],
    instead: "the registry only chooses and loads a backend",
  },
  {
    room: "backends/shared",
    may: ["base", "process", "protocol", "backends/contract"],
    instead: "what only one backend needs lies in its own folder",
  },
  {
    room: "backends/*",
    may: [...BACKEND, "backends/capabilities"],
    instead: "what two backends share lies in backends/shared; the rest comes with the guest plan",
  },
  {
    room: "bottle",
    may: BELOW_BOTTLE,
    instead: "of backends use contract and registry, of sidecars the descriptor",
  },
  {
    room: "index",
    may: [
      "bottle",
      "manifest",
      "policy",
      "protocol",
      "providers",
      "process",
      "base",
      "backends/contract",
      "backends/registry",
      "backends/shared",
    ],
    instead: "export it from bottle",
  },
  {
    room: "operator",
    may: ["base", "policy", "protocol"],
    instead: "the operator attaches to a running bottle through protocol, like anyone else",
  },
  {
    room: "demo",
    may: ["index", "testing", "tls", "process", "base", "backends/contract"],
    instead: "the demo is a user of the SDK: use what src/index.ts exports",
  },
  {
    room: "cli",
    may: ["index", "demo", "operator", "process", "base", "protocol"],
    instead: "use what src/index.ts exports",
  },
  {
    room: "testing",
    may: [...BELOW_BOTTLE, "bottle", "sidecars", "backends"],
    instead: "testing stands below index and cli",
  },
];

/** Rooms that the CLI's entry must not load before a command asks for them. */
export const LAZY = {
  entry: "cli/main",
  rooms: ["index", "operator", "bottle", "manifest", "providers", "provision", "bundle"],
  instead: "load it with `await import(…)` inside the command's run()",
};

/** Files that decide and never act. */
export const PURE = {
  files: [
    "policy/**",
    "manifest/**",
    "providers/**",
    "bottle/resolve-*.ts",
    "bottle/unenforced.ts",
    "bundle/plan-bundle.ts",
    "backends/*/render.ts",
    "operator/model/**",
  ],
  except: ["manifest/read.ts", "manifest/load.ts"],
  imports: ["fs", "fs/promises", "net", "child_process", "os"].map((name) => `node:${name}`),
  words: ["Date.now", "new Date()", "performance.now", "Math.random", "randomUUID", "randomBytes"],
  environment: /\bprocess\.(env|platform|arch|cwd)\b/,
  instead: "take the fact (clock, randomness, environment, file) as an argument",
};
