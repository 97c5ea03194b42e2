// A hostile guest: raw frames on the other end of an owner's link.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { type GuestLink, openGuestLink } from "../../src/backends/shared/guest-link.ts";
import { openInitDoor } from "../../src/backends/shared/init-door.ts";
import { parseGuestPath } from "../../src/base/ids.ts";
import { encodeFrame, type Frame, FrameDecoder } from "../../src/protocol/frame.ts";
import { tempDir } from "./temp-dir.ts";

export interface FakeGuest {
  readonly socket: Socket;
  /** Sends one frame; an object is sent as JSON. */
  send(kind: Frame["kind"], channel: number, payload: unknown): void;
  /** The next frame of the owner. */
  next(): Promise<Frame>;
}

/** Connects to a door and says ready. */
export async function openFakeGuest(
  first: unknown = { kind: "ready", version: 1, node: "24.0.0" },
): Promise<{
  readonly guest: FakeGuest;
  readonly link: Promise<GuestLink>;
}> {
  const path = join(tempDir("fake-guest-"), "init.sock");
  const door = await openInitDoor(path);
  const socket = connect(path);
  await once(socket, "connect");
  const guest = fakeGuest(socket);
  const accepted = await door.accept({ timeoutMs: 5_000 });
  const link = openGuestLink(accepted, {
    env: {},
    relays: [],
    home: parseGuestPath("/"),
    readyTimeoutMs: 2_000,
  });
  await guest.next();
  guest.send("message", 0, first);
  return { guest, link };
}

function fakeGuest(socket: Socket): FakeGuest {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  const waiting: ((frame: Frame) => void)[] = [];
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    for (const frame of decoder.push(chunk)) {
      const taker = waiting.shift();
      if (taker === undefined) frames.push(frame);
      else taker(frame);
    }
  });
  return {
    socket,
    send: (kind, channel, payload) => {
      const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload));
      if (!socket.destroyed) socket.write(encodeFrame(kind, channel, bytes));
    },
    next: () => {
      const frame = frames.shift();
      return frame === undefined
        ? new Promise((resolve) => waiting.push(resolve))
        : Promise.resolve(frame);
    },
  };
}
