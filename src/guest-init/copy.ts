/** Copies into and out of the guest, as archives on a channel. No link is followed at or below the copy's root. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf, systemCode } from "../base/errors.ts";
import { isLeftOut, LeftOut } from "../base/left-out.ts";
import { readTree } from "../base/read-tree.ts";
import { tap } from "../base/tap.ts";
import { writeTree } from "../base/write-tree.ts";
import { decodeArchive, encodeArchive } from "../protocol/archive.ts";
import type { GuestOrder, GuestReport } from "../protocol/guest.ts";
import type { Channel, ChannelHandlers } from "../protocol/mux-channel.ts";

/** Longest message of a failure. */
const MAX_MESSAGE = 1000;

/** Writes the archive that follows below `root`. */
export function copyIn(channel: Channel<GuestReport>, root: string): ChannelHandlers<GuestOrder> {
  const input = channel.readable("stdin");
  const items = decodeArchive(input);
  void report(channel, () => writeTree(root, items, { makesParents: true, replacesLinks: true }));
  return { onMessage: () => void input.destroy() };
}

/** Sends what is at `root` as an archive. */
export function copyOut(channel: Channel<GuestReport>, root: string): ChannelHandlers<GuestOrder> {
  const stop = new AbortController();
  void report(channel, async () => {
    let entries = 0;
    const leftOut = new LeftOut();
    const counted = tap(leftOut.hold(readTree(root)), () => {
      entries += 1;
    });
    const bytes = Readable.from(encodeArchive(counted), { highWaterMark: 1 });
    await pipeline(bytes, channel.writable("stdout"), { signal: stop.signal });
    leftOut.check();
    return entries;
  });
  return { onMessage: () => stop.abort() };
}

/** Ends the channel with how the copy went. */
async function report(channel: Channel<GuestReport>, copy: () => Promise<number>): Promise<void> {
  try {
    channel.send({ kind: "copied", entries: await copy() });
  } catch (error) {
    channel.send(failure(error));
  }
  channel.close();
}

/** The report of an order that failed. */
export function failure(error: unknown): GuestReport {
  return {
    kind: "failed",
    code: isLeftOut(error) ? String(error.details["code"]) : (systemCode(error) ?? "failed"),
    message: messageOf(error).slice(0, MAX_MESSAGE),
  };
}
