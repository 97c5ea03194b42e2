// Streams and masks: nothing leaves whole, and what comes back is masked without delay.
import { describe, expect, it } from "vitest";
import { compileKnownSecrets } from "./known-secrets.ts";
import { maskFindings, maskText, redact } from "./mask.ts";
import { scan } from "./scan.ts";
import { finish } from "./steps.ts";
import { createStreamMasker, createStreamScanner } from "./stream.ts";
import { type ScanPolicy, textView } from "./types.ts";
import { variantsOf } from "./variants.ts";

const TOKEN = "ghp_9dK2mQx7Lw0PzR4tY6uB";
const compiled = compileKnownSecrets([{ name: "TOKEN", value: TOKEN }]);
const policy: ScanPolicy = { detectors: [compiled.detector], placeholders: [] };

function scannerOf(...given: Parameters<typeof createStreamScanner>) {
  const scanner = createStreamScanner(...given);
  return {
    push: (chunk: Buffer) => finish(scanner.push(chunk)),
    end: () => finish(scanner.end()),
  };
}

describe("createStreamScanner", () => {
  it("gives out everything of a clean stream, in order", () => {
    const scanner = scannerOf("body", policy);
    const chunks = ["alpha ", "beta ", "gamma ".repeat(200), "delta"];
    const out = chunks.map((chunk) => scanner.push(Buffer.from(chunk)).safe.toString());
    expect(out.join("") + scanner.end().safe.toString()).toBe(chunks.join(""));
  });

  it("gives out nothing from the finding on", () => {
    const scanner = scannerOf("body", policy);
    const lead = "x ".repeat(500);
    const sent = scanner.push(Buffer.from(lead + TOKEN.slice(0, 10))).safe.toString();
    expect(lead.startsWith(sent)).toBe(true);
    expect(sent.length).toBeGreaterThan(0);
    const hit = scanner.push(Buffer.from(TOKEN.slice(10)));
    expect(hit.finding).toMatchObject({ kind: "secret", secret: "TOKEN" });
    expect(hit.safe).toHaveLength(0);
    expect(scanner.push(Buffer.from("more")).safe).toHaveLength(0);
    expect(scanner.end().finding).toMatchObject({ secret: "TOKEN" });
  });

  it("gives out nothing from a part on that it cannot judge", () => {
    const scanner = scannerOf("body", policy);
    let deep = "%41";
    for (let times = 0; times < 14; times += 1) deep = encodeURIComponent(deep);
    const hit = scanner.push(Buffer.from(`lead ${deep} ${"x ".repeat(2000)}`));
    expect([hit.finding?.kind, hit.safe.length]).toEqual(["unjudged", 0]);
    expect(scanner.push(Buffer.from("more")).safe).toHaveLength(0);
    expect(scanner.end().finding?.kind).toBe("unjudged");
  });

  it("lets no byte of the longest spelling go before the last one has come", () => {
    const scanner = scannerOf("body", policy);
    const longest = variantsOf(TOKEN).find((it) => it.bytes.length === compiled.longestVariant);
    const results = Array.from(longest?.bytes ?? [], (byte) => scanner.push(Buffer.from([byte])));
    expect(results.map((it) => it.safe.length)).not.toContain(1);
    expect(results.at(-1)?.finding).toMatchObject({ secret: "TOKEN" });
  });

  it("searches behind what was sent before it", () => {
    const scanner = scannerOf("body", policy, Buffer.from(TOKEN.slice(0, 10)));
    expect(scanner.push(Buffer.from(TOKEN.slice(10))).finding).toMatchObject({ secret: "TOKEN" });
  });

  it("finds what is hidden across chunks", () => {
    const scanner = scannerOf("body", policy);
    const hidden = Buffer.from(Buffer.from(TOKEN).toString("hex")).toString("base64");
    let found = false;
    for (const letter of `data ${hidden} end`) {
      found ||= scanner.push(Buffer.from(letter)).finding !== undefined;
    }
    expect(found).toBe(true);
  });
});

describe("createStreamMasker", () => {
  const mask = (chunks: readonly string[]): string[] => {
    const masker = createStreamMasker(compiled);
    const out = chunks.map((chunk) => masker.push(Buffer.from(chunk)).toString());
    return [...out, masker.end().toString()];
  };

  it("masks across chunks and keeps the length", () => {
    const text = `a ${TOKEN} b ${Buffer.from(`u:${TOKEN}`).toString("base64")} c`;
    for (const size of [1, 3, 7, 1000]) {
      const chunks = text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
      const out = mask(chunks).join("");
      expect(out).toHaveLength(text.length);
      expect(out.startsWith(`a ${"*".repeat(TOKEN.length)} b `)).toBe(true);
      expect(scan(textView("body", out), policy)).toEqual([]);
    }
  });

  it("does not hold back what cannot become a secret", () => {
    expect(mask(["data: hello\n\n", "data: you \n\n"])).toEqual([
      "data: hello\n\n",
      "data: you \n\n",
      "",
    ]);
    expect(mask([`data ${TOKEN.slice(0, 6)}`, " ...!"])).toEqual([
      "data ",
      `${TOKEN.slice(0, 6)} ...!`,
      "",
    ]);
  });

  it("can put the placeholder there instead", () => {
    const masker = createStreamMasker(compiled, (literal) => Buffer.from(`<${literal.secret}>`));
    expect(masker.push(Buffer.from(`${TOKEN}!`)).toString()).toBe("<TOKEN>!");
    expect(masker.count).toBe(1);
  });
});

describe("masks of whole views", () => {
  it("replaces what findings cover, overlapping ones once", () => {
    const at = (offset: number, length: number) => ({
      kind: "secret" as const,
      detector: "d",
      secret: "s",
      encoding: "plain",
      surface: "body" as const,
      offset,
      length,
    });
    const bytes = Buffer.from("0123456789");
    expect(maskFindings(bytes, [at(4, 3), at(2, 4), at(9, 1)]).toString()).toBe("01***78***");
    expect(maskFindings(bytes, []).toString()).toBe("0123456789");
  });

  it.each([
    ["plain", TOKEN],
    ["percent", TOKEN.replaceAll("_", "%5F")],
    ["hyphens", Array.from(TOKEN).join("-")],
    ["base64 of hex", Buffer.from(Buffer.from(TOKEN).toString("hex")).toString("base64")],
  ])("redact leaves nothing: %s", (_, hidden) => {
    const result = redact(textView("body", `{"a":"${hidden}","b":"kept"}`), policy);
    expect(result.ok && result.bytes.toString()).toBe('{"a":"***","b":"kept"}');
  });

  it("says when it cannot", () => {
    const result = redact(textView("body", TOKEN), policy, () => TOKEN);
    expect(result.ok).toBe(false);
    expect(maskText(`/repos/${TOKEN}/x`, policy)).toBe("/repos/***/x");
  });
});
