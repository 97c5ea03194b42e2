/** The SDK: explicit named exports, pinned by a test. Nothing starts at import. */
export type {
  ArchiveItem,
  Backend,
  BackendName,
  BackendProbe,
  Guest,
  GuestPlan,
  LimitReport,
  Session,
} from "./backends/contract.ts";
export { BACKEND_NAMES } from "./backends/contract.ts";
export { openBackend, strongestBackend } from "./backends/registry.ts";
export { readHostTree, writeHostTree } from "./backends/shared/archive.ts";
export {
  ERROR_CODES,
  type ErrorCode,
  type ErrorKind,
  EXIT_OWN_FAILURE,
  EXIT_STATUS,
} from "./base/error-codes.ts";
export {
  BottleError,
  BugError,
  CancelledError,
  HostError,
  type Issue,
  LaunchError,
  ManifestError,
  PolicyDeniedError,
  ProtocolError,
  SidecarError,
  TimeoutError,
  UsageError,
} from "./base/errors.ts";
export {
  type BottleId,
  type GuestPath,
  type HostPath,
  parseBottleId,
  parseGuestPath,
  parseHostPath,
} from "./base/ids.ts";
export { createLogger, type Logger, silentLogger } from "./base/log.ts";
export { type HomePaths, homePaths } from "./base/paths.ts";
export { Secret, type Secrets } from "./base/secret.ts";
export { Bottle, type CloseReport, type ExecInBottleOptions } from "./bottle/bottle.ts";
export { type BottleConnection, connectBottle } from "./bottle/connect.ts";
export { type BottleEvent, EventHub } from "./bottle/events.ts";
export type { ExecResult } from "./bottle/exec-result.ts";
export { locateAgent } from "./bottle/facts.ts";
export { GUEST_HOME, GUEST_WORKSPACE } from "./bottle/guest-paths.ts";
export { type ListedBottle, listBottles } from "./bottle/list.ts";
export { findOrphanObjects, type OrphanObject, removeOrphanObject } from "./bottle/orphans.ts";
export { type Owner, openOwner } from "./bottle/owner.ts";
export type { BottlePlan, Facts, StartOptions } from "./bottle/plan.ts";
export type { StartPreview } from "./bottle/preview.ts";
export {
  findLeftovers,
  findOrphanRuns,
  findUnrecorded,
  type ReapItem,
  reap,
  removeBottle,
  removeOrphanRun,
} from "./bottle/reap.ts";
export { resolvePlan } from "./bottle/resolve-plan.ts";
export { resolveSecrets } from "./bottle/secrets.ts";
export {
  type OpenOptions,
  type OperatorPlace,
  openBottle,
  type PlannedStart,
  type PlanRequest,
  planStart,
} from "./bottle/start.ts";
export { LAUNCH_STEPS, type LaunchStep } from "./bottle/steps.ts";
export { agentJsonSchema, bottleJsonSchema } from "./manifest/json-schema.ts";
export { listManifest, type ManifestEntry, type ManifestIndex } from "./manifest/list-manifest.ts";
export { loadManifest } from "./manifest/load.ts";
export { isName, isVariable } from "./manifest/names.ts";
export { readConfirmations, saveConfirmation } from "./manifest/read.ts";
export { decideTrust } from "./manifest/trust.ts";
export type { Manifest } from "./manifest/types.ts";
export type { EgressPolicy } from "./policy/egress.ts";
export { explainRoute } from "./policy/explain.ts";
export { explainRequest, type RequestExplanation } from "./policy/explain-request.ts";
export { describePolicy } from "./policy/introspect.ts";
export { createExec } from "./process/spawn.ts";
export { openSafeStdio, type SafeStdio } from "./process/stdio-relay.ts";
export {
  commandPreset,
  PRESET_NAMES,
  type Preset,
  type PresetOptions,
  presetNamed,
} from "./providers/presets.ts";
export { PROVIDER_NAMES, providerNamed } from "./providers/registry.ts";
