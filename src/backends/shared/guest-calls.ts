/** Copies and probes as orders to guest-init: one channel each, one last report, nothing after it. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { withDeadline } from "../../base/deadline.ts";
import { LaunchError, ProtocolError } from "../../base/errors.ts";
import { LeftOut } from "../../base/left-out.ts";
import { ignore } from "../../base/log.ts";
import { tap } from "../../base/tap.ts";
import { decodeArchive, encodeArchive } from "../../protocol/archive.ts";
import type { GuestOrder, GuestReport } from "../../protocol/guest.ts";
import type { Mux } from "../../protocol/mux.ts";
import type { Channel } from "../../protocol/mux-channel.ts";
import type { ArchiveItem, ProbeTarget } from "../contract.ts";
import { failedError, goneError, unexpected } from "./guest-failure.ts";

/** Beyond the probe's own time: for the way there and back, long where a machine has just booted on a busy host. */
const PROBE_MARGIN_MS = 20_000;

type OwnerMux = Mux<GuestReport, GuestOrder>;
type LastReport = Extract<GuestReport, { kind: "copied" | "probed" }>;

/** One order that is answered by one report. */
interface Call<K extends LastReport["kind"]> {
  readonly channel: Channel<GuestOrder>;
  /** Rejects with LaunchError when the guest says that it failed, or is gone. */
  readonly answer: Promise<Extract<LastReport, { kind: K }>>;
  readonly isOver: () => boolean;
}

interface CallOptions<K extends LastReport["kind"]> {
  readonly order: GuestOrder;
  readonly answeredBy: K;
  readonly code: "launch.copy" | "launch.guest-init";
  /** For the message of a failure. */
  readonly what: string;
}

function openCall<K extends LastReport["kind"]>(mux: OwnerMux, options: CallOptions<K>): Call<K> {
  const { order, answeredBy } = options;
  const answer = Promise.withResolvers<Extract<LastReport, { kind: K }>>();
  void ignore(answer.promise, "told by who waits for the answer");
  let isOver = false;
  const end = (): void => {
    isOver = true;
    channel.close();
  };
  const isAnswer = (report: GuestReport): report is Extract<LastReport, { kind: K }> =>
    report.kind === answeredBy;
  const channel = mux.openChannel({
    onMessage: (report) => {
      if (isAnswer(report)) answer.resolve(report);
      else if (report.kind === "failed") answer.reject(callError(options, report));
      else throw unexpected(report, `for a ${order.kind}`);
      end();
    },
    onLost: () => {
      isOver = true;
      answer.reject(goneError());
    },
  });
  channel.send(order);
  return { channel, answer: answer.promise, isOver: () => isOver };
}

/** What the system refuses a copy for, in words; its own would name descriptors of guest-init. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or directory",
  ENOTDIR: "a part of the path is not a directory",
  EISDIR: "a directory is in the way",
  EEXIST: "something is in the way",
  ELOOP: "a link is in the path, and links are not followed there",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only there",
  ENOSPC: "the disk is full",
};

function callError(
  { code, what }: Pick<CallOptions<LastReport["kind"]>, "code" | "what">,
  report: Extract<GuestReport, { kind: "failed" }>,
): LaunchError {
  // An owner between has told what failed already.
  const own = report.message.startsWith(`${what}: `);
  const said = own ? report.message.slice(what.length + 2) : report.message;
  const message = (code === "launch.copy" ? REASONS[report.code] : undefined) ?? said;
  const error = failedError(code, what, { ...report, message });
  if (code !== "launch.copy") return error;
  return new LaunchError(code, error.message, {
    details: error.details,
    hint: "look at the path with bot-bottle exec SLUG -- ls -la",
  });
}

/** Writes items below `root` in the guest and returns how many. Throws LaunchError `launch.copy`, or what the items threw. */
export async function copyIn(
  mux: OwnerMux,
  root: string,
  items: AsyncIterable<ArchiveItem> | Iterable<ArchiveItem>,
): Promise<number> {
  const what = `copy to ${root} in the guest failed`;
  const call = openCall(mux, {
    order: { kind: "copy-in", root },
    answeredBy: "copied",
    code: "launch.copy",
    what,
  });
  let sent = 0;
  const leftOut = new LeftOut();
  const counted = tap(leftOut.hold(items), () => {
    sent += 1;
  });
  const bytes = Readable.from(encodeArchive(counted), { highWaterMark: 1 });
  const feeding = pipeline(bytes, call.channel.writable("stdin"));
  // Whichever fails first tells why; a guest that failed has closed the channel, and the feeding fails after it.
  await Promise.race([call.answer, feeding.then(() => call.answer)]).catch((error: unknown) => {
    if (!call.isOver()) call.channel.send({ kind: "cancel" });
    throw error;
  });
  const { entries } = await call.answer;
  await ignore(feeding, "the answer counts");
  leftOut.check();
  if (entries === sent) return entries;
  throw new LaunchError(
    "launch.copy",
    `${what}: it says that ${entries} entries came; ${sent} were sent`,
  );
}

/** Items at `root` in the guest. Throws LaunchError `launch.copy`; a malformed archive is told to `onFault` as well. */
export async function* copyOut(
  mux: OwnerMux,
  root: string,
  onFault: (fault: ProtocolError) => void,
): AsyncGenerator<ArchiveItem, void, undefined> {
  const what = `copy of ${root} from the guest failed`;
  const call = openCall(mux, {
    order: { kind: "copy-out", root },
    answeredBy: "copied",
    code: "launch.copy",
    what,
  });
  let isWhole = false;
  try {
    yield* decodeArchive(call.channel.readable("stdout"));
    isWhole = true;
  } catch (error) {
    // An archive that stops early has its reason in the last report; one that is wrong has none.
    if (call.isOver()) await call.answer;
    else if (error instanceof ProtocolError) onFault(error);
    throw error;
  } finally {
    if (!isWhole && !call.isOver()) call.channel.send({ kind: "cancel" });
  }
  await call.answer;
}

/** Tries to reach something from inside the guest. Throws LaunchError `launch.guest-init` or TimeoutError. */
export function probe(mux: OwnerMux, target: ProbeTarget): Promise<string> {
  const what = "a probe from inside the guest failed";
  const order: GuestOrder = { kind: "probe", target: { ...target } };
  const call = openCall(mux, { order, answeredBy: "probed", code: "launch.guest-init", what });
  const ownMs = "timeoutMs" in target ? target.timeoutMs : 0;
  const answer = call.answer.then((report) => report.answer);
  return withDeadline(answer, {
    what: "the guest's answer to a probe",
    timeoutMs: ownMs + PROBE_MARGIN_MS,
  });
}
