/** The handshake of WebSocket (RFC 6455, 4). Extensions are never offered: frames must stay readable. */
import { deny } from "../../../policy/decide.ts";
import type { HeaderList } from "../../../policy/headers.ts";
import type { Deny } from "../../../policy/verdict.ts";
import type { HeaderBlock } from "../header-block.ts";
import type { Incoming } from "../message.ts";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/** Whether a request asks for a WebSocket, rightly or not. */
export function asksWebSocket(block: HeaderBlock): boolean {
  return block.has("upgrade") && block.tokens("upgrade").includes("websocket");
}

/** Judges a request that asks to upgrade; undefined for one that asks for a WebSocket as it should. */
export function judgeUpgrade(request: UpgradeRequest, rule: string): Deny | undefined {
  const { block } = request;
  const refuse = (why: string): Deny => deny("upgrade-refused", rule, why);
  if (!asksWebSocket(block) || block.tokens("upgrade").length > 1 || block.has("http2-settings")) {
    return refuse("protocol upgrades other than WebSocket are not carried; use plain requests");
  }
  if (isHandshake(request)) return undefined;
  return refuse("the WebSocket handshake is not as it should be; use plain requests over HTTP/1.1");
}

type UpgradeRequest = Pick<Incoming, "version" | "method" | "block" | "framing">;

function isHandshake({ version, method, block, framing }: UpgradeRequest): boolean {
  const isRequest = version === "1.1" && method === "GET" && framing.kind === "none";
  if (!isRequest || !block.tokens("connection").includes("upgrade")) return false;
  const keys = block.values("sec-websocket-key");
  const versions = block.values("sec-websocket-version");
  return keys.length === 1 && KEY.test(keys[0] ?? "") && versions.join() === "13";
}

/** Never forwarded: without extensions every frame can be read. */
export const EXTENSIONS = "sec-websocket-extensions";

/** What the answer to a key is. */
export function acceptOf(key: string): string {
  const crypto = process.getBuiltinModule("node:crypto");
  return crypto.createHash("sha1").update(`${key}${GUID}`).digest("base64");
}

/** Judges the answer of an upstream that switches; says what is wrong with it. */
export function judgeSwitch(asked: HeaderBlock, answer: HeaderBlock): string | undefined {
  const [key = ""] = asked.values("sec-websocket-key");
  if (answer.values("sec-websocket-accept").join() !== acceptOf(key)) {
    return "its answer to the WebSocket handshake is for another key";
  }
  if (!asksWebSocket(answer)) return "it switches to another protocol than WebSocket";
  if (answer.has(EXTENSIONS)) return "it uses an extension of WebSocket that was not offered";
  const chosen = answer.values("sec-websocket-protocol");
  const offered = asked.values("sec-websocket-protocol").flatMap((it) => it.split(","));
  const isOffered = chosen.every((it) => offered.some((name) => name.trim() === it));
  return isOffered && chosen.length <= 1
    ? undefined
    : "it speaks a subprotocol that was not offered";
}

/** Header lines of the answer to the guest besides those that are passed on. */
export function switchHeaders(): HeaderList {
  return [
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
  ];
}
