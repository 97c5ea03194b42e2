// Quoted-printable parts, undone byte by byte: the same bytes as the definition by regular expressions gives.
import fc from "fast-check";
import { expect, it } from "vitest";
import { partsOf } from "../../src/sidecars/egress/multipart.ts";

const SEED = 20_260_711;
const MIB = 1024 * 1024;
const HEAD = "--bound\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";

function undone(encoded: string): Buffer | undefined {
  const parts = partsOf(Buffer.from(HEAD + encoded, "latin1"), "multipart/mixed; boundary=bound");
  return parts === "beyond-bounds" ? undefined : parts[0]?.bytes;
}

function byDefinition(encoded: string): Buffer {
  const unfolded = encoded.replace(/=[ \t]*\r?\n/g, "");
  const plain = unfolded.replace(/=([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(plain, "latin1");
}

const piece = fc.constantFrom(
  ..."= == =4 =41 =fF =g1 =\r\n =\n =\t\r =3D 41".split(" "),
  ...["= \t\r\n", " ", "\r\n", "z", "\u00ff", "\0"],
);
const text = fc.array(piece, { maxLength: 60 }).map((it) => it.join(""));

it("are undone as they are defined", () => {
  fc.assert(
    fc.property(text, (encoded) => {
      expect(undone(encoded)?.equals(byDefinition(encoded))).toBe(true);
    }),
    { seed: SEED, numRuns: 2000 },
  );
});

it("are undone as they are defined where they are long", () => {
  const long = text.filter((it) => it !== "").map((it) => it.repeat(Math.ceil(MIB / it.length)));
  fc.assert(
    fc.property(long, (encoded) => {
      expect(undone(encoded)?.equals(byDefinition(encoded))).toBe(true);
    }),
    { seed: SEED, numRuns: 8 },
  );
});
