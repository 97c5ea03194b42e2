/** What a daemon of the bundle is. Data and ports only: no daemon is imported here. */
import type { Logger } from "../base/log.ts";
import type { Secrets } from "../base/secret.ts";
import type { AuditEvent } from "../protocol/audit.ts";
import type { DaemonName } from "../protocol/bundle.ts";

export interface Health {
  readonly isHealthy: boolean;
  readonly detail: string;
}

export type Reloaded = { readonly ok: true } | { readonly ok: false; readonly message: string };

/** Appends a decision before it takes effect. Throws when the append fails: the caller then denies. */
export interface Audit {
  append(event: AuditEvent): void;
}

/** Asks the operator. Until supervise exists its only implementation refuses. */
export interface Ask {
  ask(request: AskRequest): Promise<"granted" | "refused" | "pending">;
}

export interface AskRequest {
  readonly tool: string;
  readonly digest: string;
  readonly summary: string;
  readonly deadlineMs: number;
}

export interface DaemonContext<Config> {
  readonly config: Config;
  readonly secrets: Secrets;
  /** This daemon's door as protocol/door.ts reads it; a socket is made by the daemon with mode 0666. */
  readonly door: string;
  readonly audit: Audit;
  readonly ask: Ask;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Told that an upstream refused the value of a slot, so that the owner can read it anew. */
  readonly onCredentialRefused?: (slot: string) => void;
}

export interface Daemon<Config> {
  readonly name: DaemonName;
  /** Parses what the owner sent. Throws ProtocolError when it does not follow the daemon's schema. */
  parseConfig(value: unknown): Config;
  /** Resolves when the door accepts. */
  start(context: DaemonContext<Config>): Promise<void>;
  health(): Promise<Health>;
  /** All or nothing: the old policy or the new one, never neither. `secrets` are all of the daemon's; left out, they stay. */
  reload(next: Config, secrets?: Secrets): Promise<Reloaded>;
  stop(deadlineMs: number): Promise<void>;
}
