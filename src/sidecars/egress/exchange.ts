/** One request to an upstream and its answer: body out under the scanner's eye, answer back with echoes masked. */
import { deny } from "../../policy/decide.ts";
import type { HeaderList } from "../../policy/headers.ts";
import type { Deny } from "../../policy/verdict.ts";
import { PROTOCOL_RULE } from "./classify.ts";
import type { Scanned } from "./context.ts";
import type { ForwardInput } from "./forward.ts";
import { forwardHead } from "./forward-head.ts";
import { HeaderBlock } from "./header-block.ts";
import { endToEnd } from "./headers.ts";
import { injectBody } from "./inject-body.ts";
import type {
  AnswerReceiver,
  BodyFault,
  BodySource,
  ForwardBody,
  Outgoing,
  ReceivedHead,
  Switched,
  UpstreamLink,
} from "./message.ts";
import { maskHeaders, type Relay, relayAnswer, UNREADABLE } from "./relay-answer.ts";
import { type SentBody, sendBody } from "./send-body.ts";
import { judgeSwitch, switchHeaders } from "./websocket/handshake.ts";
import { judgeNow } from "./websocket/judge-now.ts";
import { MessageJudge } from "./websocket/message-judge.ts";
import { relayWebSocket } from "./websocket/relay.ts";

/** Interim answers that mean something to a guest; it gets its own 100. */
const RELAYED_INTERIM: ReadonlySet<number> = new Set([102, 103]);

/** How an exchange may end besides with an answer. */
export interface ExchangeEnds {
  /** The body held a secret, or broke off; the upstream got no end of it. */
  readonly onFound: (verdict: Deny) => void;
  /** `isStale`: a reused connection broke before any answer, and doing the request twice does no harm. */
  readonly onFailed: (error: Error, isStale: boolean) => void;
}

/** One exchange. */
export class Exchange implements AnswerReceiver {
  readonly #asked: Scanned;
  readonly #input: ForwardInput;
  readonly #ends: ExchangeEnds;
  readonly #outgoing: Outgoing;
  readonly #source: BodySource;
  #upstream: ForwardBody | undefined;
  #sent: SentBody | undefined;
  #relay: Relay | undefined;
  #isOver = false;

  constructor(judged: Scanned, input: ForwardInput, ends: ExchangeEnds) {
    this.#asked = injectBody(judged, input.arrival.state.secrets);
    this.#input = input;
    this.#ends = ends;
    this.#outgoing = input.arrival.outgoing;
    this.#source = input.arrival.incoming.body;
  }

  /** Sends the request over a link. */
  start(link: UpstreamLink): void {
    const { body, route } = this.#asked;
    const { arrival, recorder, services } = this.#input;
    const head = forwardHead(this.#asked, arrival.state);
    const whole = body.kind === "whole" ? body.bytes : undefined;
    if (recorder.logsTraffic) this.#logRequest(head.headers, whole);
    this.#outgoing.onGone = () => this.#abandon();
    this.#outgoing.onDrain = () => this.#relay?.resume();
    const upstream = link.send(head, this, whole);
    this.#upstream = upstream;
    if (body.kind !== "stream" || this.#isOver) return;
    this.#sent = sendBody(this.#source, body, {
      upstream,
      rule: route.rule,
      spend:
        body.length === undefined ? (bytes) => services.budgets.spend(route, bytes) : undefined,
      onFound: (verdict) => this.#stop(() => this.#ends.onFound(verdict)),
      onBroken: (fault) => this.#broken(fault),
      onFault: (error) => this.#stop(() => this.#input.onFault(error)),
    });
    upstream.flush();
  }

  interim(status: number, headers: HeaderList): void {
    if (this.#isOver || !RELAYED_INTERIM.has(status)) return;
    const kept = endToEnd(HeaderBlock.of(headers), ["alt-svc"]);
    this.#outgoing.interim(status, maskHeaders(kept, this.#secrets()));
  }

  answer(head: ReceivedHead, body: BodySource): void {
    if (this.#isOver) {
      body.cancel();
      return;
    }
    const { recorder, services } = this.#input;
    const { inject } = this.#asked;
    if (head.status === 401 && inject !== undefined) services.onCredentialRefused(inject.slot);
    const relay = relayAnswer(head, body, this.#outgoing, {
      secrets: this.#secrets(),
      isHead: this.#asked.method === "HEAD",
      onSample: recorder.logsTraffic
        ? (headers, sample) => this.#logAnswer(head.status, headers, sample)
        : undefined,
      onEnd: (error) => this.#answered(error),
    });
    if (relay === undefined) {
      const error = new Error(UNREADABLE);
      body.cancel();
      this.#stop(() => this.#ends.onFailed(error, false));
    } else this.#relay = relay;
  }

  switched(answer: HeaderBlock, upstream: Switched): void {
    const { block } = this.#asked;
    const fault = this.#isOver ? "the guest is gone" : judgeSwitch(block, answer);
    const kept = endToEnd(answer, ["alt-svc"]);
    const headers = [...switchHeaders(), ...maskHeaders(kept, this.#secrets())];
    const guest = fault === undefined ? this.#outgoing.switchProtocols(headers) : undefined;
    if (guest === undefined) {
      upstream.socket.destroy();
      this.fail(new Error(fault ?? "the guest is gone"), false);
      return;
    }
    this.#isOver = true;
    this.#carry(guest, upstream);
  }

  #carry(guest: Switched, upstream: Switched): void {
    const { route } = this.#asked;
    const { arrival, services, authorizeBy } = this.#input;
    const { inForce } = services;
    const { scanPolicy } = arrival.state;
    const isScanned = route.scansOutbound && scanPolicy.detectors.length > 0;
    relayWebSocket({
      guest,
      upstream,
      judge: isScanned ? new MessageJudge(route, scanPolicy, services.buffers) : undefined,
      spend: (bytes) => services.budgets.spend(route, bytes),
      secrets: this.#secrets(),
      onRefused: (verdict) => this.#ends.onFound(verdict),
      onFault: (error) => this.#input.onFault(error),
      watch: (onSwap) => inForce.watch(onSwap),
      judgeNow: () => {
        const { state } = inForce;
        if (state === arrival.state) return undefined;
        return judgeNow({ route, state: arrival.state }, authorizeBy(state), state);
      },
    });
  }

  fail(error: Error, isStale: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sent?.stop();
    this.#ends.onFailed(error, isStale);
  }

  drain(): void {
    if (!this.#isOver) this.#sent?.resume();
  }

  /** Values that were put in are masked in what comes back. */
  #secrets(): ForwardInput["arrival"]["state"]["echoes"] {
    const { route } = this.#asked;
    return route.auth === undefined ? undefined : this.#input.arrival.state.echoes;
  }

  #answered(error: Error | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sent?.stop();
    // Who has answered does not wait for the rest of the request; where there is none, nothing happens.
    this.#source.cancel();
    this.#upstream?.reset();
    if (error !== undefined) this.#ends.onFailed(error, false);
  }

  #broken(fault: BodyFault): void {
    const why =
      fault.kind === "malformed" ? "the body is not framed as it should be" : "the body broke off";
    const verdict = deny("bad-request", PROTOCOL_RULE, `${why}: ${fault.message}; send it again`);
    this.#stop(() => this.#ends.onFound(verdict));
  }

  #abandon(): void {
    this.#stop(() => undefined);
  }

  /** Breaks the exchange off: the upstream gets no end of the request. */
  #stop(then: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sent?.stop();
    this.#upstream?.reset();
    this.#relay?.cancel();
    then();
  }

  #logRequest(headers: HeaderList, body: Buffer | undefined): void {
    const { authority, method, path } = this.#asked;
    const fields = { host: authority.host, method, path, headers, body };
    this.#input.recorder.traffic("egress_request", fields);
  }

  #logAnswer(status: number, headers: HeaderList, body: Buffer): void {
    const { authority, method, path } = this.#asked;
    const fields = { host: authority.host, method, path, status, headers, body };
    this.#input.recorder.traffic("egress_response", fields);
  }
}
