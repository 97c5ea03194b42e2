// Every hiding place of a known secret that is searched, and what must not be found.
import { describe, expect, it } from "vitest";
import { compileKnownSecrets } from "./known-secrets.ts";
import { maskText, redact } from "./mask.ts";
import { scan, scanSteps } from "./scan.ts";
import { finish } from "./steps.ts";
import { type Finding, textView } from "./types.ts";

const SECRET = "sk-Test_4f/9+Qz7 ü&x=0aB";
const TOKEN = "ghp_9dK2mQx7Lw0PzR4tY6uB";
const compiled = compileKnownSecrets([
  { name: "SECRET", value: SECRET },
  { name: "TOKEN", value: TOKEN },
]);
const policy = { detectors: [compiled.detector], placeholders: [] };

const found = (bytes: Buffer | string): string[] => [
  ...new Set(
    scan({ surface: "body", bytes: Buffer.from(bytes) }, policy).map((it) =>
      it.kind === "secret" ? it.secret : it.kind,
    ),
  ),
];

const b64 = (text: string | Buffer): string => Buffer.from(text).toString("base64");
const hex = (text: string): string => Buffer.from(text).toString("hex");
const percentAll = (text: string): string => hex(text).replace(/../g, "%$&");
const selectors = (text: string): string =>
  [...Buffer.from(text)]
    .map((byte) => String.fromCodePoint(byte < 16 ? 0xfe00 + byte : 0xe0100 + byte - 16))
    .join("");
const cyrillic = (text: string): string =>
  text.replace(/[aceopxy]/g, (letter) => "асеорху"["aceopxy".indexOf(letter)] ?? "");
const styled = (text: string): string =>
  text.replace(/[a-z]/g, (letter) => String.fromCodePoint(0x1d41a + letter.charCodeAt(0) - 97));

const HIDING: readonly (readonly [string, (text: string) => string | Buffer])[] = [
  ["plain", (t) => t],
  ["upper case", (t) => t.toUpperCase()],
  ["percent", encodeURIComponent],
  ["percent, every byte", percentAll],
  ["percent, lower case", (t) => percentAll(t).toLowerCase()],
  ["percent, some bytes", (t) => `${percentAll(t.slice(0, 3))}${encodeURIComponent(t.slice(3))}`],
  ["percent twice", (t) => encodeURIComponent(percentAll(t))],
  ["base64", b64],
  ["base64 behind one byte", (t) => b64(`x${t}y`)],
  ["base64 behind two bytes", (t) => b64(`xx${t}yy`)],
  ["base64url", (t) => Buffer.from(t).toString("base64url")],
  ["base64 in lines", (t) => b64(`${"x".repeat(70)}${t}`).replace(/.{76}/g, "$&\r\n")],
  ["base64 twice", (t) => b64(b64(t))],
  ["base64 twice behind a letter", (t) => `q${b64(`q${b64(t)}`)}`],
  ["base64 three times", (t) => b64(b64(b64(t)))],
  ["base64 of hex", (t) => b64(hex(t))],
  ["hex of base64", (t) => hex(b64(t))],
  ["base64 of percent in a query", (t) => encodeURIComponent(b64(percentAll(t)))],
  ["hex", hex],
  ["HEX", (t) => hex(t).toUpperCase()],
  ["hex with colons", (t) => hex(t).replace(/..(?=.)/g, "$&:")],
  ["hex escapes", (t) => hex(t).replace(/../g, "\\x$&")],
  ["JSON", (t) => JSON.stringify({ t })],
  ["JSON in JSON", (t) => JSON.stringify({ t: JSON.stringify({ t }) })],
  [
    "JSON, every character",
    (t) =>
      Array.from(t)
        .map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
        .join(""),
  ],
  [
    "entities",
    (t) =>
      Array.from(t)
        .map((c) => `&#x${c.codePointAt(0)?.toString(16) ?? ""};`)
        .join(""),
  ],
  ["UTF-16", (t) => Buffer.from(t, "utf16le")],
  ["hyphens between", (t) => Array.from(t).join("-")],
  ["lines between", (t) => Array.from(t).join("\r\n")],
  ["dots, as labels of a host", (t) => hex(t).replace(/.{20}/g, "$&.")],
  ["zero-width between", (t) => Array.from(t).join("\u200b")],
  ["bidi marks between", (t) => Array.from(t).join("\u202e")],
  ["Cyrillic letters", cyrillic],
  ["mathematical letters", styled],
  ["variation selectors", (t) => `😀${selectors(t)}`],
];

describe.each([
  ["SECRET", SECRET],
  ["TOKEN", TOKEN],
])("%s", (name, value) => {
  it.each(HIDING)("is found hidden by %s", (_, hide) => {
    expect(found(hide(value))).toEqual([name]);
    const wrapped = Buffer.concat([Buffer.from("before "), Buffer.from(hide(value))]);
    expect(found(Buffer.concat([wrapped, Buffer.from(" after")]))).toEqual([name]);
  });
});

const first = (text: string): Finding | undefined =>
  scan(textView("body", text), policy).find((it) => it.kind === "secret");

describe("findings", () => {
  it("cover the hidden value and never hold it", () => {
    const text = `{"a": "${b64(`user:${TOKEN}`)}"}`;
    const finding = first(text);
    const { offset = 0, length = 0 } = finding ?? {};
    expect(Buffer.from(text.slice(offset, offset + length), "base64").toString()).toContain(
      TOKEN.slice(1, -1),
    );
    expect(JSON.stringify(finding)).not.toContain(TOKEN);
    expect(finding).toMatchObject({ detector: "known-secrets", surface: "body", secret: "TOKEN" });
  });

  it("give the place of decoded values", () => {
    const text = `x=1&y=${percentAll(TOKEN)}&z=2`;
    const finding = first(text);
    expect(text.slice(finding?.offset, (finding?.offset ?? 0) + (finding?.length ?? 0))).toBe(
      percentAll(TOKEN),
    );
    const mixed = `x=1&y=${percentAll(TOKEN.slice(0, 4))}${TOKEN.slice(4)}&z=2`;
    const other = first(mixed);
    expect(mixed.slice(other?.offset, (other?.offset ?? 0) + (other?.length ?? 0))).toBe(
      `${percentAll(TOKEN.slice(0, 4))}${TOKEN.slice(4)}`,
    );
  });
});

describe("what is not judged", () => {
  const nest = (text: string, encode: (text: string) => string, times: number): string =>
    times === 0 ? text : nest(encode(text), encode, times - 1);

  it.each([
    ["base64 six times", nest(TOKEN, b64, 6)],
    ["percent eight times", nest(percentAll(TOKEN), encodeURIComponent, 8)],
    ["JSON eight times", nest("\\u0067" + TOKEN.slice(1), (t) => JSON.stringify(t), 8)],
    [
      "hex four times, its first digit escaped",
      nest(TOKEN, hex, 4).replace(/^./, (it) => `%${hex(it)}`),
    ],
  ])("is not %s: that is found", (_, text) => {
    expect(found(text)).toEqual(["TOKEN"]);
  });

  it.each([
    ["encodings deeper than the bound", nest(TOKEN, b64, 16)],
    ["escapes deeper than the bound", nest("%41", encodeURIComponent, 14)],
    [
      "more to decode than the bound",
      "%25252541 \\\\\\\\u0041 &#38;#38;#38;#65; ".repeat(4000) + b64(b64(b64("other"))),
    ],
  ])("is said to be so: %s", { timeout: 30_000 }, (_, text) => {
    expect(found(text)).toEqual(["unjudged"]);
    expect(redact(textView("body", text), policy).ok).toBe(false);
    expect(maskText(text, policy)).toBe("***");
  });

  it("is said behind what is found, and never counts as masked", () => {
    const text = `${TOKEN} ${nest("%41", encodeURIComponent, 14)}`;
    expect(found(text)).toEqual(["TOKEN", "unjudged"]);
    expect(redact(textView("body", text), policy).ok).toBe(false);
  });

  it("is not what people send", () => {
    const code = String.raw`const s = "a\n\"b\"".replace(/\\(?:u[0-9a-f]{4}|.)/g, "&#38;") + encodeURIComponent("%20");`;
    const said = JSON.stringify({ role: "user", content: code.repeat(400) });
    const inJson = JSON.stringify({ a: JSON.stringify({ b: JSON.stringify({ said }) }) });
    for (const text of [said, inJson, b64(inJson), `a=${encodeURIComponent(inJson)}`]) {
      expect(found(text)).toEqual([]);
    }
  });

  it("is the rest of a view whose findings were all placeholders", () => {
    const odd = compileKnownSecrets([{ name: "ODD", value: "placeholder" }]);
    const one = { detectors: [odd.detector], placeholders: ["my-placeholder"] };
    const text = `${"my-placeholder ".repeat(300)}`;
    expect(scan(textView("body", text), one)).toMatchObject([{ kind: "unjudged" }]);
  });
});

describe("what is not found", () => {
  it("is text without the value", () => {
    expect(found(`${TOKEN.slice(0, -1)}, ${b64("a text that holds no value of ours")}`)).toEqual(
      [],
    );
  });

  it("is a value under eight characters, which is reported", () => {
    const short = compileKnownSecrets([
      { name: "SHORT", value: "1234567" },
      { name: "LONG", value: "12345678" },
    ]);
    expect(short.unscanned).toEqual(["SHORT"]);
    const one = { detectors: [short.detector], placeholders: [] };
    expect(scan(textView("body", "1234567"), one)).toEqual([]);
    expect(scan(textView("body", "12345678"), one)).toHaveLength(1);
  });

  it("is anything where there are no secrets", () => {
    const none = compileKnownSecrets([]);
    expect(none.longestVariant).toBe(0);
    expect(finish(none.detector.find(textView("body", "x".repeat(100)), 10))).toEqual({
      findings: [],
      isComplete: true,
      packed: [],
    });
  });

  it("is a placeholder of ours, even when a secret is part of it", () => {
    const odd = compileKnownSecrets([{ name: "ODD", value: "placeholder" }]);
    const text = "key bb-placeholder-0123456789 here";
    const detectors = [odd.detector];
    expect(scan(textView("body", text), { detectors, placeholders: [] })).toHaveLength(1);
    const placeholders = ["bb-placeholder-0123456789"];
    expect(scan(textView("body", text), { detectors, placeholders })).toEqual([]);
  });
});

it("ignores white space around a value, as files have it", () => {
  const file = compileKnownSecrets([{ name: "FILE", value: `${TOKEN}\n` }]);
  const one = { detectors: [file.detector], placeholders: [] };
  expect(scan(textView("header", `Bearer ${TOKEN}`), one)).toHaveLength(1);
});

describe("steps", () => {
  const stepsOf = (text: string | Buffer): number => {
    const steps = scanSteps({ surface: "body", bytes: Buffer.from(text) }, policy);
    let count = 0;
    while (steps.next().done !== true) count += 1;
    return count;
  };

  it.each(HIDING)("change nothing about what is found: %s", (_, hide) => {
    // Each piece of a step has the value at another place of it, also across its end.
    const step = 16_384;
    for (const back of [1, 2, 3, 5, 30]) {
      const lead = Buffer.alloc(step - back, "é ");
      const bytes = Buffer.concat([lead, Buffer.from(" "), Buffer.from(hide(TOKEN)), lead]);
      expect(found(bytes)).toEqual(["TOKEN"]);
    }
  });

  it.each([
    ["plain text", "lorem ipsum ".repeat(90_000)],
    ["one run", "QUJD".repeat(260_000)],
    ["short runs", `${"a".repeat(20)} `.repeat(50_000)],
    ["one run of one letter case", "a".repeat(1_000_000)],
    ["binary noise", Buffer.alloc(1_000_000, Buffer.from([0xf3, 0xa0, 0x84, 0x80, 0xc3]))],
  ])("are many where there is much to do: %s", (_, text) => {
    expect(stepsOf(text)).toBeGreaterThan(60);
  });

  it("are many for one short text that unfolds", () => {
    expect(stepsOf("%25252541 \\\\\\\\u0041 &#38;#38;#38;#65; ".repeat(30))).toBeGreaterThan(8);
  });

  it("may be of several searches at a time", () => {
    const searches = [TOKEN, SECRET].map((value) =>
      scanSteps(
        {
          surface: "body",
          bytes: Buffer.from(`${"x ".repeat(40_000)}${Array.from(value).join("-")}`),
        },
        policy,
      ),
    );
    const results: unknown[] = [];
    while (results.length < searches.length) {
      for (const search of searches) {
        const step = search.next();
        if (step.done === true && step.value !== undefined) results.push(step.value[0]);
      }
    }
    expect(results).toMatchObject([{ secret: "TOKEN" }, { secret: "SECRET" }]);
  });
});
