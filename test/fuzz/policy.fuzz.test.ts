// Parsers of policy against hostile text: no address passes as a name, no path keeps a dot segment, no plant is missed.
import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAuthority } from "../../src/policy/authority.ts";
import { compileKnownSecrets } from "../../src/policy/dlp/known-secrets.ts";
import { scan } from "../../src/policy/dlp/scan.ts";
import { finish } from "../../src/policy/dlp/steps.ts";
import { createStreamMasker, createStreamScanner } from "../../src/policy/dlp/stream.ts";
import { variantsOf } from "../../src/policy/dlp/variants.ts";
import { formatIpv6, parseIpv4, parseIpv6 } from "../../src/policy/ip-address.ts";
import { classifyAddress, isForbidden, isForbiddenForResolve } from "../../src/policy/network.ts";
import { formatTarget, normalisePath } from "../../src/policy/path.ts";

const SEED = 20_260_711;
const run = (numRuns: number): { seed: number; numRuns: number } => ({ seed: SEED, numRuns });

const pieces = (...texts: string[]): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...texts), { maxLength: 12 }).map((parts) => parts.join(""));

const numberText = fc
  .tuple(fc.nat({ max: 0xffff_ffff }), fc.constantFrom(8, 10, 16))
  .map(([value, base]) => ({ 8: "0", 10: "", 16: "0x" })[base] + value.toString(base));

const hostText = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.string({ unit: "grapheme", maxLength: 12 }),
  pieces("0", "1", "127", "0x", "0x7f", "01", ".", "..", "a", "-", "xn--", "１", "。", "f", "8"),
  pieces("[", "]", ":", "::", "ffff", "0", "1", "127.0.0.1", "%", "%25eth0", "2001", "db8"),
  fc.array(numberText, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(".")),
  fc.ipV4(),
  fc.ipV4Extended(),
  fc.ipV6().map((ip) => `[${ip}]`),
  fc.domain(),
  fc.webAuthority({ withPort: true, withIPv4: true, withIPv6: true, withUserInfo: true }),
);

/** What a browser's parser takes the text for; undefined where it is no host. */
function whatwgHost(text: string): string | undefined {
  try {
    const url = new URL(`http://${text}`);
    return url.pathname === "/" && url.search === "" && url.hash === "" ? url.hostname : undefined;
  } catch {
    return undefined;
  }
}

const bare = (host: string): string => host.replace(/^\[|\]$/g, "");

describe("parseAuthority", () => {
  it("agrees with WHATWG on what is an address, and on which one", () => {
    const check = (text: string): void => {
      const parsed = parseAuthority(text, "http");
      if (!parsed.ok) return;
      const { host, kind } = parsed.authority;
      expect(isIP(host)).toBe({ name: 0, ipv4: 4, ipv6: 6 }[kind]);
      const other = whatwgHost(text);
      if (other === undefined) return;
      const family = isIP(bare(other));
      expect(family === 0).toBe(kind === "name");
      if (family !== 0) expect(host).toBe(bare(other));
      else expect(host).toBe(other.replace(/\.$/, ""));
    };
    fc.assert(fc.property(hostText, check), run(12_000));
    const padded = fc.tuple(hostText, fc.constantFrom("", ".", ":80", ".:8080"));
    fc.assert(
      fc.property(padded, ([host, tail]) => check(host + tail)),
      run(6000),
    );
  });

  it("gives a form that parses to itself", () => {
    fc.assert(
      fc.property(hostText, (text) => {
        const parsed = parseAuthority(text, "https");
        if (!parsed.ok) return;
        const { host, port, kind } = parsed.authority;
        const again = parseAuthority(
          kind === "ipv6" ? `[${host}]:${port}` : `${host}:${port}`,
          "http",
        );
        expect(again).toEqual(parsed);
      }),
      run(6000),
    );
  });
});

describe("addresses", () => {
  it("are read as the platform reads them", () => {
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.string(),
      pieces(":", "::", "0", "ffff", "1.2.3.4", "g"),
    );
    fc.assert(
      fc.property(text, (ip) => {
        const family = parseIpv4(ip) !== undefined ? 4 : parseIpv6(ip) !== undefined ? 6 : 0;
        expect(family).toBe(isIP(ip));
        if (family === 0) expect(classifyAddress(ip)).toBe("invalid");
        if (classifyAddress(ip) === "metadata") expect(isForbiddenForResolve(ip)).toBe(true);
      }),
      run(10_000),
    );
  });

  it("are never allowed because of an address that they carry", () => {
    const inner = fc.tuple(fc.nat({ max: 0xffff }), fc.nat({ max: 0xffff }));
    fc.assert(
      fc.property(inner, ([high, low]) => {
        const forms = [
          [0, 0, 0, 0, 0, 0xffff, high, low],
          [0x64, 0xff9b, 0, 0, 0, 0, high, low],
          [0x64, 0xff9b, 1, 0, 0, 0, high, low],
          [0x2002, high, low, 0, 0, 0, 0, 1],
          [0x2001, 0, 1, 1, 0, 0, high, low],
        ];
        for (const groups of forms) {
          expect(isForbidden(formatIpv6(groups))).toBe(true);
          expect(isForbiddenForResolve(formatIpv6(groups))).toBe(true);
        }
      }),
      run(1000),
    );
  });
});

describe("normalisePath", () => {
  const target = fc.oneof(
    fc.string({ maxLength: 40 }).map((text) => `/${text}`),
    fc.webPath().map((path) => `/${path}`),
    pieces(
      "/",
      ".",
      "..",
      "%2e",
      "%2E",
      "%2f",
      "%5c",
      "\\",
      "%",
      "25",
      ";",
      "a",
      "%00",
      "?",
      "#",
      "%c0",
      "%ae",
      "%ef%bc%8e",
    ).map((text) => `/${text}`),
  );

  it("changes nothing the second time and leaves no way up", () => {
    fc.assert(
      fc.property(target, (raw) => {
        const normal = normalisePath(raw);
        if (!normal.ok) return;
        const { path, query } = normal;
        expect(normalisePath(formatTarget(path, query))).toEqual(normal);
        let decoded = path;
        for (let round = 0; round < 3; round += 1) {
          expect(decoded).toMatch(/^\/(?!\/)[^\\]*$/);
          expect(decoded.split("/")).not.toContain("..");
          expect(decoded.split("/")).not.toContain(".");
          decoded = decoded.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
            String.fromCharCode(Number.parseInt(hex, 16)),
          );
        }
        // Whatever resolves dot segments finds none.
        expect(new URL(`http://h${path}`).pathname.split("/")).toHaveLength(path.split("/").length);
      }),
      run(15_000),
    );
  });
});

describe("known secrets", () => {
  const value = fc
    .oneof(
      fc.string({ minLength: 8, maxLength: 80 }),
      fc.string({
        unit: fc.constantFrom(...Array.from("abcXYZ019-_+/=. &é")),
        minLength: 8,
        maxLength: 40,
      }),
    )
    .filter((text) => text.trim().length >= 8);

  it("are found in every spelling, at every place, at every chunking", () => {
    const plant = fc.record({
      secret: value,
      pick: fc.nat(),
      before: fc.uint8Array({ maxLength: 600 }),
      after: fc.uint8Array({ maxLength: 600 }),
      sizes: fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 8 }),
    });
    fc.assert(
      fc.property(plant, ({ secret, pick, before, after, sizes }) => {
        const compiled = compileKnownSecrets([{ name: "S", value: secret }]);
        const policy = { detectors: [compiled.detector], placeholders: [] };
        const variants = variantsOf(secret.trim());
        const variant = variants[pick % variants.length]!;
        const bytes = Buffer.concat([before, variant.bytes, after]);
        expect(scan({ surface: "body", bytes }, policy).length, variant.encoding).toBeGreaterThan(
          0,
        );
        expect(isHeldBack(policy, bytes, sizes, before.length)).toBe(true);
        expect(isMasked(compiled, bytes, sizes)).toBe(true);
      }),
      run(250),
    );
  });

  it("are found or not judged under any nesting, behind any padding", () => {
    const b64 = (text: string): string => Buffer.from(text).toString("base64");
    const encoders: readonly ((text: string) => string)[] = [
      b64,
      (text) => Buffer.from(text).toString("hex"),
      (text) =>
        [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
      (text) => Array.from(text, (it) => `&#${it.codePointAt(0)};`).join(""),
      (text) =>
        Array.from(text, (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
    ];
    const token = "realtoken_0123456789abcdefgh";
    const compiled = compileKnownSecrets([{ name: "S", value: token }]);
    const policy = { detectors: [compiled.detector], placeholders: [] };
    const padding = pieces(
      ...["%25252541 ", "\\\\\\\\u0041 ", "&#38;#38;#38;#65; ", "lorem ipsum dolor sit "],
      ...[
        " ".repeat(400),
        "x ".repeat(99),
        b64("%2541".repeat(20)),
        "\u0000\ufffd",
        "33333333333333333333",
      ],
    );
    const plan = fc.record({
      unit: padding.filter((it) => it !== ""),
      times: fc.nat({ max: 60 }),
      gap: fc.constantFrom(" ", " data=", '"', " ".repeat(400)),
      chain: fc.array(fc.nat({ max: encoders.length - 1 }), { maxLength: 4 }),
      after: padding,
    });
    fc.assert(
      fc.property(plan, ({ unit, times, gap, chain, after }) => {
        const hidden = chain.reduce((text, at) => encoders[at]?.(text) ?? text, token);
        const bytes = Buffer.from(unit.repeat(times) + gap + hidden + gap + after);
        expect(scan({ surface: "body", bytes }, policy)).not.toEqual([]);
      }),
      run(150),
    );
  });

  it("are not found in noise", () => {
    const compiled = compileKnownSecrets([
      { name: "A", value: "ghp_9dK2mQx7Lw0PzR4tY6uB" },
      { name: "B", value: "aB3$xy9!" },
    ]);
    const policy = { detectors: [compiled.detector], placeholders: [] };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4000 }), fc.boolean(), (noise, isText) => {
        const bytes = isText
          ? Buffer.from(Buffer.from(noise).toString("base64"))
          : Buffer.from(noise);
        expect(scan({ surface: "body", bytes }, policy)).toEqual([]);
      }),
      run(400),
    );
  });
});

function* chunks(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

/** Whether a stream stops before the first byte of what was planted behind `clean` bytes. */
function isHeldBack(
  policy: Parameters<typeof createStreamScanner>[1],
  bytes: Buffer,
  sizes: readonly number[],
  clean: number,
): boolean {
  const scanner = createStreamScanner("body", policy);
  let sent = 0;
  for (const chunk of chunks(bytes, sizes)) {
    const { safe, finding } = finish(scanner.push(chunk));
    sent += safe.length;
    if (finding !== undefined) return sent <= clean;
  }
  return false;
}

/** Whether no spelling is left after masking, and the length is kept. */
function isMasked(
  compiled: ReturnType<typeof compileKnownSecrets>,
  bytes: Buffer,
  sizes: readonly number[],
): boolean {
  const masker = createStreamMasker(compiled);
  const out = Buffer.concat([...chunks(bytes, sizes)].map((chunk) => masker.push(chunk)));
  const all = Buffer.concat([out, masker.end()]);
  let isFound = false;
  compiled.literals.find(all, () => {
    isFound = true;
    return false;
  });
  return !isFound && all.length === bytes.length && masker.count > 0;
}
