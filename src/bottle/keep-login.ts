/**
 * Keeps the bundle's copy of the operator's login as new as the operator's own: read again when it ends and when the API
 * refuses it, handed on when it changed. It is never renewed from here; when it has run out the operator is told who must.
 */
import type { Clock } from "../base/clock.ts";
import { CancelledError, messageOf } from "../base/errors.ts";
import { ignore, type Logger } from "../base/log.ts";
import type { Secret, Secrets } from "../base/secret.ts";
import type { BundleHandle } from "../bundle/contract.ts";
import type { EventHub } from "./events.ts";
import { type ReadLogin, readHostLogin } from "./host-login.ts";
import type { HostLoginRef } from "./plan.ts";

/** How long before its end a token is read again: requests under way should not meet it. */
const EARLY_MS = 60_000;
/** How often a login that has run out is looked at. */
const LOOK_EVERY_MS = 15_000;

export interface KeepLoginOptions {
  readonly slot: string;
  readonly ref: HostLoginRef;
  /** The value that the bundle has now. */
  readonly current: Secret | undefined;
  readonly bundle: Pick<BundleHandle, "renew">;
  readonly events: Pick<EventHub, "emit">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Reads the login; replaced by tests of time. */
  readonly read?: (ref: HostLoginRef) => Promise<ReadLogin>;
}

/** Watches one login until it is disposed. */
export class LoginKeeper implements Disposable {
  readonly #options: KeepLoginOptions;
  readonly #stop = new AbortController();
  #value: string | undefined;
  #expiresAtMs: number | undefined;
  /** The value that the operator was told about, so that each is told once. */
  #told: string | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: KeepLoginOptions) {
    this.#options = options;
    this.#value = options.current?.reveal();
    void ignore(this.#watch(), "ends with the bottle");
  }

  /** The API answered 401. Resolves when what follows from that is done. */
  refused(): Promise<void> {
    return this.#look("refused");
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new CancelledError("the bottle ends"));
  }

  async #watch(): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      await this.#look("ended");
      const left = (this.#expiresAtMs ?? 0) - EARLY_MS - clock.now();
      await clock.sleep(Math.max(left, LOOK_EVERY_MS), this.#stop.signal);
    }
  }

  /** One look after the other: two at once would hand the older value on last. */
  #look(why: "refused" | "ended"): Promise<void> {
    this.#turn = this.#turn.then(() => this.#lookNow(why));
    return this.#turn;
  }

  async #lookNow(why: "refused" | "ended"): Promise<void> {
    const { ref, log, clock } = this.#options;
    try {
      const { token, login } = await (this.#options.read ?? readHostLogin)(ref);
      this.#expiresAtMs = login.expiresAtMs;
      if (token.reveal() !== this.#value) await this.#handOn(token);
      else if (why === "refused") this.#tell("refused", "the API no longer takes it");
      else if (login.expiresAtMs <= clock.now()) {
        const ended = new Date(login.expiresAtMs).toISOString();
        this.#tell("expired", `it has run out at ${ended}`);
      }
    } catch (error) {
      log.warn("host login", { provider: ref.provider, error: messageOf(error) });
      // A file in the middle of being written is read again soon; one that is gone is told when it is needed.
      if (why === "refused") this.#tell("refused", messageOf(error));
    }
  }

  async #handOn(token: Secret): Promise<void> {
    const { slot, ref, bundle, events } = this.#options;
    const secrets: Secrets = new Map([[slot, token]]);
    await bundle.renew("egress", secrets);
    this.#value = token.reveal();
    this.#told = undefined;
    events.emit({ kind: "credential", state: "renewed", name: ref.name, detail: "read anew" });
  }

  #tell(state: "expired" | "refused", detail: string): void {
    if (this.#told === this.#value) return;
    this.#told = this.#value;
    this.#options.events.emit({ kind: "credential", state, name: this.#options.ref.name, detail });
  }
}
