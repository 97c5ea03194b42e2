/**
 * Third step: searches what the guest wants to send for secrets, before anything is added to it and before any byte or
 * name lookup leaves. Invariant: what cannot be judged is refused.
 */
import { deny } from "../../policy/decide.ts";
import { redactSteps } from "../../policy/dlp/mask.ts";
import { scan, scanSteps } from "../../policy/dlp/scan.ts";
import type { Steps } from "../../policy/dlp/steps.ts";
import { createStreamScanner } from "../../policy/dlp/stream.ts";
import {
  type Finding,
  type ScanPolicy,
  type Surface,
  textView,
  type Unjudged,
} from "../../policy/dlp/types.ts";
import type { HeaderList } from "../../policy/headers.ts";
import { judgeJsonCredential } from "../../policy/json-credential.ts";
import { formatTarget } from "../../policy/path.ts";
import type { Deny, ReasonCode } from "../../policy/verdict.ts";
import { LruMap } from "../../tls/lru-map.ts";
import type { Ask } from "../descriptor.ts";
import { type BodyStart, type BufferBudget, MAX_WHOLE_BODY_BYTES, readBodyStart } from "./body.ts";
import { deriveViews } from "./body-views.ts";
import type { Arrival, Authorized, OutgoingBody, Scanned, StepResult } from "./context.ts";
import {
  codingsOf,
  decodeBody,
  decodedLimit,
  MAX_DECODED_BYTES,
  MAX_RATIO,
} from "./decode-body.ts";
import { HeaderBlock } from "./header-block.ts";
import { found, judgeBytes, sameLength, tooMuchHeld } from "./judge-bytes.ts";
import type { BodyFault } from "./message.ts";
import { MAX_PARTS } from "./multipart.ts";
import { isGranted } from "./supervise.ts";
import { type IsWanted, settle } from "./turns.ts";

/** What the step works on besides the request's own facts. */
export interface ScanInput {
  readonly arrival: Pick<Arrival, "incoming" | "outgoing">;
  readonly policy: ScanPolicy;
  readonly buffers: BufferBudget;
  readonly ask: Ask;
  /** What another policy let out before, where the request is judged once more. */
  readonly before?: Pick<Scanned, "body" | "isRedacted"> | undefined;
}

/** Searches host, target, headers and body of one request; at once where there is no body to wait for and little to search. */
export function scanRequest(
  asked: Authorized,
  input: ScanInput,
): StepResult<Scanned> | Promise<StepResult<Scanned>> {
  const isScanned = asked.route.scansOutbound && input.policy.detectors.length > 0;
  const policy = isScanned ? input.policy : undefined;
  const head =
    policy === undefined ? passed(asked) : settle(scanHead(asked, policy), wantedBy(input));
  if (head instanceof Promise) return head.then((it) => judgeHead(asked, it, { input, policy }));
  return judgeHead(asked, head, { input, policy });
}

/** A guest that has gone waits for nothing. */
const wantedBy =
  ({ arrival }: ScanInput): IsWanted =>
  () =>
    !arrival.outgoing.isOver;

interface By {
  readonly input: ScanInput;
  readonly policy: ScanPolicy | undefined;
}

function judgeHead(
  asked: Authorized,
  head: StepResult<Scanned>,
  { input, policy }: By,
): StepResult<Scanned> | Promise<StepResult<Scanned>> {
  if (!("reason" in head)) return scanBody(head, input, policy);
  if (asked.route.outboundOnMatch !== "supervise") return head;
  const subject = { ask: input.ask, policy: input.policy, body: undefined };
  return isGranted(asked, head, subject).then((isPassed) =>
    isPassed ? scanBody(passed(asked), input, policy) : head,
  );
}

function scanBody(
  head: Scanned,
  input: ScanInput,
  policy: ScanPolicy | undefined,
): StepResult<Scanned> | Promise<StepResult<Scanned>> {
  if (head.framing.kind === "none") return judgeCredential(head);
  const again = input.before && takeAgain(head, input.before.body, policy);
  const body = again ?? takeBody(head, input, policy);
  if ("reason" in body) return body;
  if (body instanceof Promise) return body.then((it) => judge(head, it, { input, policy }));
  return judgeCredential({ ...head, body });
}

/** Where the credential travels in the body, that body must be fit to carry it. */
function judgeCredential(scanned: Scanned): StepResult<Scanned> {
  const { route, headers, body } = scanned;
  const held = body.kind === "whole" ? body.bytes : undefined;
  return judgeJsonCredential(route, { headers, body: held }) ?? scanned;
}

const passed = (asked: Authorized): Scanned => ({
  ...asked,
  kind: "scanned",
  body: { kind: "none" },
  isRedacted: false,
});

async function judge(
  head: Scanned,
  body: OutgoingBody | Deny,
  by: By,
): Promise<StepResult<Scanned>> {
  if ("reason" in body) return body;
  if (body.kind !== "whole" || by.policy === undefined) return judgeCredential({ ...head, body });
  const judged = await judgeBody(head, body.bytes, {
    input: by.input,
    policy: by.policy,
    isWanted: wantedBy(by.input),
  });
  if ("reason" in judged) {
    const subject = { ask: by.input.ask, policy: by.policy, body: body.bytes };
    const isPassed = await isGranted(head, judged, subject);
    return isPassed ? judgeCredential({ ...head, body }) : judged;
  }
  const wasRedacted = by.input.before?.isRedacted === true;
  const isRedacted = head.isRedacted || wasRedacted || judged !== body.bytes;
  return judgeCredential({ ...head, body: { kind: "whole", bytes: judged }, isRedacted });
}

/** What was searched before and is clean: clients repeat their host and their header lines with every request. */
interface Clean {
  readonly hosts: LruMap<string, true>;
  readonly blocks: WeakSet<HeaderBlock>;
}

const MAX_CLEAN_HOSTS = 256;
const cleanBy = new WeakMap<ScanPolicy, Clean>();

function cleanOf(policy: ScanPolicy): Clean {
  const known = cleanBy.get(policy);
  if (known !== undefined) return known;
  const clean: Clean = { hosts: new LruMap(MAX_CLEAN_HOSTS), blocks: new WeakSet() };
  cleanBy.set(policy, clean);
  return clean;
}

/** Searches a host name on its own: where a wildcard allows names of the guest's choice they may carry a secret. */
export function scanHost(host: string, rule: string, policy: ScanPolicy): Deny | undefined {
  const { hosts } = cleanOf(policy);
  if (hosts.get(host) === true) return undefined;
  const [finding] = scan(textView("host", host), policy);
  if (finding !== undefined) return found(finding, rule);
  hosts.set(host, true);
  return undefined;
}

function* scanBlock(block: HeaderBlock, policy: ScanPolicy): Steps<Finding | Unjudged | undefined> {
  const { blocks } = cleanOf(policy);
  if (blocks.has(block)) return undefined;
  const [finding] = yield* scanSteps(headerView(block.list), policy);
  if (finding === undefined) blocks.add(block);
  return finding;
}

/** Searches everything but the body; masks where the route says so. */
function* scanHead(asked: Authorized, policy: ScanPolicy): Steps<StepResult<Scanned>> {
  const { route, path, query, block } = asked;
  const inHost = scanHost(asked.authority.host, route.rule, policy);
  if (inHost !== undefined) return inHost;
  const target = textView("url", formatTarget(path, query));
  const finding = (yield* scanSteps(target, policy))[0] ?? (yield* scanBlock(block, policy));
  if (finding === undefined) return passed(asked);
  if (route.outboundOnMatch !== "redact") return found(finding, route.rule);
  return yield* maskHead(asked, policy);
}

function* maskHead(asked: Authorized, policy: ScanPolicy): Steps<StepResult<Scanned>> {
  const headers: [string, string][] = [];
  for (const [name, value] of asked.headers) {
    headers.push([name, yield* maskText("header", value, policy)]);
  }
  const path = yield* maskText("url", asked.path, policy);
  const cleanQuery = yield* maskText("url", asked.cleanQuery, policy);
  // Spread over two fields a value may survive field by field, so the whole is searched once more.
  const rest =
    (yield* scanSteps(textView("url", formatTarget(path, cleanQuery)), policy))[0] ??
    (yield* scanSteps(headerView(headers), policy))[0];
  if (rest !== undefined) return found(rest, asked.route.rule);
  const block = HeaderBlock.of(headers);
  return { ...passed(asked), path, cleanQuery, headers, block, isRedacted: true };
}

function headerView(headers: HeaderList): ReturnType<typeof textView> {
  const text = headers.map(([name, value]) => `${name}: ${value}`).join("\n");
  return { surface: "header", bytes: Buffer.from(text, "latin1") };
}

function* maskText(surface: Surface, text: string, policy: ScanPolicy): Steps<string> {
  const view = { surface, bytes: Buffer.from(text, "latin1") };
  const result = yield* redactSteps(view, policy, sameLength);
  return result.ok ? result.bytes.toString("latin1") : text;
}

/** What a body is judged by, and for how long. */
interface Judging {
  readonly input: ScanInput;
  readonly policy: ScanPolicy;
  readonly isWanted: IsWanted;
}

/** Searches a whole body, its decoded form and what both say in other words; gives back the bytes that may leave. */
async function judgeBody(asked: Scanned, bytes: Buffer, by: Judging): Promise<Buffer | Deny> {
  const { policy, isWanted } = by;
  const { rule, outboundOnMatch } = asked.route;
  const codings = codingsOf(asked.block.values("content-encoding"));
  const decoded = codings.length === 0 ? undefined : await decodeHeld(bytes, codings, { rule, by });
  if (decoded !== undefined && "reason" in decoded) return decoded;
  // Bytes behind the end of a compressed stream are ignored by decoders, so the raw form counts too.
  const inDecoded =
    decoded && (await settle(scanSteps({ surface: "body", bytes: decoded }, policy), isWanted));
  const hidden = inDecoded?.[0];
  if (hidden !== undefined) return found(hidden, rule);
  // What stands in an encoded body cannot be masked in it.
  const onMatch = codings.length > 0 ? "block" : outboundOnMatch;
  const judged = await settle(
    judgeBytes(bytes, { rule, outboundOnMatch: onMatch }, policy),
    isWanted,
  );
  if ("reason" in judged) return judged;
  return (await judgeDerived(asked, decoded ?? judged, by)) ?? judged;
}

/** What is decoded waits for its turn like the body itself, and may be many times as much. */
async function decodeHeld(
  bytes: Buffer,
  codings: readonly string[],
  { rule, by }: { readonly rule: string; readonly by: Judging },
): Promise<Buffer | Deny> {
  const keep = hold(by.input, decodedLimit(bytes.length));
  if (keep === undefined) return tooMuchHeld(rule);
  const decoded = await decodeBody(bytes, codings);
  keep(decoded?.length ?? 0);
  return decoded ?? undecodable(rule);
}

/** Searches what a body says in other words: a finding there cannot be masked where it stands. */
async function judgeDerived(
  { route, block }: Scanned,
  bytes: Buffer,
  { policy, isWanted }: Judging,
): Promise<Deny | undefined> {
  const views = deriveViews(bytes, block.values("content-type")[0] ?? "", policy);
  if (views === "beyond-bounds") {
    const why = `the body has more than ${MAX_PARTS} parts, or parts inside parts of parts`;
    return refuse("undecodable-body", route.rule, `${why}; send it in several requests`);
  }
  for (const view of views) {
    const [finding] = await settle(scanSteps({ surface: "body", ...view }, policy), isWanted);
    if (finding !== undefined) return found(finding, route.rule);
  }
  return undefined;
}

function undecodable(rule: string): Deny {
  const most = `${MAX_DECODED_BYTES / 1024 / 1024} MiB or ${MAX_RATIO} times its size`;
  const why = `the body's content encoding cannot be undone, or gives more than ${most}`;
  return refuse("undecodable-body", rule, `${why}; send the body without content encoding`);
}

/** Decides how the body is judged: whole up to the bound, else on its way; without a policy it only passes. */
function takeBody(
  asked: Scanned,
  input: ScanInput,
  policy: ScanPolicy | undefined,
): Promise<OutgoingBody | Deny> | OutgoingBody | Deny {
  const { framing, route } = asked;
  const length = framing.kind === "length" ? framing.length : undefined;
  const isLong = length !== undefined && length > MAX_WHOLE_BODY_BYTES;
  if (policy !== undefined && isEncoded(asked) && isLong) return tooLarge(route.rule);
  sayContinue(input);
  const isHeld = policy !== undefined || asked.inject?.kind === "json";
  if (!isHeld) return { kind: "stream", first: [], length, scanner: undefined };
  const scanner = policy && createStreamScanner("body", policy);
  return isLong
    ? { kind: "stream", first: [], length, scanner }
    : takeStart(asked, input, { kind: "stream", first: [], length, scanner });
}

/** The guest was told already where another policy has judged before. */
function sayContinue({ arrival: { incoming, outgoing }, before }: ScanInput): void {
  if (incoming.expectsContinue && before === undefined) outgoing.interim(100, []);
}

/** Goes on with what was read of a body; undefined where that is nothing. */
function takeAgain(
  asked: Scanned,
  before: OutgoingBody,
  policy: ScanPolicy | undefined,
): Promise<OutgoingBody> | OutgoingBody | Deny | undefined {
  if (before.kind === "whole") return Promise.resolve(before);
  if (before.kind === "none" || before.first.length === 0) return undefined;
  if (policy === undefined) return { ...before, scanner: undefined };
  if (isEncoded(asked)) return tooLarge(asked.route.rule);
  return { ...before, scanner: createStreamScanner("body", policy) };
}

const isEncoded = (asked: Scanned): boolean =>
  codingsOf(asked.block.values("content-encoding")).length > 0;

/** Reads up to the bound; `rest` is how a body is judged that turns out to be longer. */
async function takeStart(
  asked: Scanned,
  input: ScanInput,
  rest: Extract<OutgoingBody, { kind: "stream" }>,
): Promise<OutgoingBody | Deny> {
  const { rule } = asked.route;
  const start = await readWithin(input, rest.length);
  if (start === "no-memory") {
    return tooMuchHeld(rule);
  }
  switch (start.kind) {
    case "broken":
      return refuse("bad-request", rule, describeBroken(start.fault));
    case "whole":
      return { kind: "whole", bytes: start.bytes };
    case "longer":
      return isEncoded(asked) ? tooLarge(rule) : { ...rest, first: start.first };
  }
}

function describeBroken({ kind, message }: BodyFault): string {
  return kind === "malformed"
    ? `the body is not framed as it should be: ${message}; send it again`
    : `the body did not arrive: ${message}; send it again`;
}

async function readWithin(
  { arrival, buffers }: ScanInput,
  length: number | undefined,
): Promise<BodyStart | "no-memory"> {
  const keep = hold({ arrival, buffers }, length ?? MAX_WHOLE_BODY_BYTES);
  if (keep === undefined) return "no-memory";
  const start = await readBodyStart(arrival.incoming.body, MAX_WHOLE_BODY_BYTES, length);
  if (start.kind === "whole") keep(start.bytes.length);
  return start;
}

/** Takes memory until the exchange is over; gives what lets go of all but some of it before, undefined where none is left. */
function hold(
  { arrival: { outgoing }, buffers }: Pick<ScanInput, "arrival" | "buffers">,
  bytes: number,
): ((kept: number) => void) | undefined {
  if (outgoing.isOver || !buffers.take(bytes)) return undefined;
  let held = bytes;
  const keep = (kept: number): void => {
    buffers.give(Math.max(0, held - kept));
    held = Math.min(held, kept);
  };
  const { onOver } = outgoing;
  outgoing.onOver = () => {
    onOver?.();
    keep(0);
  };
  return keep;
}

const refuse = (reason: ReasonCode, rule: string, explanation: string): Deny =>
  deny(reason, rule, explanation);

function tooLarge(rule: string): Deny {
  const limit = `${MAX_WHOLE_BODY_BYTES / 1024} KiB`;
  return refuse(
    "body-too-large",
    rule,
    `an encoded body over ${limit} cannot be judged; send it without content encoding`,
  );
}
