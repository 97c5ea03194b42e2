/**
 * Folds bytes and characters to what they stand for: letter case, the two base64 alphabets, look-alikes, styled letters,
 * invisible characters. Both the literals and the input go through the same tables.
 */

function makeByteFold(): Uint8Array {
  const table = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  for (let byte = 0x41; byte <= 0x5a; byte += 1) table[byte] = byte + 0x20;
  // base64url is base64 with two other characters.
  table[0x2d] = 0x2b;
  table[0x5f] = 0x2f;
  return table;
}

/** Lower case, and base64url read as base64; one byte for one byte, so that offsets stay. */
export const BYTE_FOLD: Uint8Array = makeByteFold();

function makeProjection(): Uint8Array {
  const table = new Uint8Array(256);
  for (let byte = 0; byte < 128; byte += 1) {
    const folded = BYTE_FOLD[byte] ?? 0;
    const isLetter = folded >= 0x61 && folded <= 0x7a;
    if (isLetter || (byte >= 0x30 && byte <= 0x39)) table[byte] = folded;
  }
  return table;
}

/** Lower-case letters and digits; 0 for every byte that the projection drops. */
export const BYTE_PROJECTION: Uint8Array = makeProjection();

// Letters of other scripts that look like the Latin ones, pairwise.
const LOOK_ALIKES =
  "аaвbсcԁdеeғfһhіiјjкkӏlмmпnоoрpԛqгrѕsтtцuѵvԝwхxуyАaВbСcЕeНhІiЈjКkМmОoРpЅsТtХxУyЗ3з3" +
  "αaβbγyεeηnιiκkνvοoρpτtυuχxωwΑaΒbΕeΖzΗhΙiΚkΜmΝnΟoΡpΤtΥyΧx" +
  "օoսuհhցgոnրrѕsоo٠0١1۰0۱1०0ıiɑaɡgɩiʟlᴀaᴄcᴅdᴇeᴊjᴋkᴍmᴏoᴘpᴛtᴜuᴠvᴡwᴢz";

/** Styled letters, digits and symbols whose compatibility form is ASCII: the blocks that hold them. */
const STYLED_BLOCKS: readonly (readonly [number, number])[] = [
  [0xa0, 0x24f],
  [0x1d00, 0x1dbf],
  [0x1e00, 0x1eff],
  [0x2070, 0x209f],
  [0x2100, 0x218f],
  [0x2460, 0x24ff],
  [0xfb00, 0xfb06],
  [0xff00, 0xff5e],
  [0x1d400, 0x1d7ff],
  [0x1f100, 0x1f169],
  [0x1fbf0, 0x1fbf9],
];

/** Projects text to lower-case ASCII letters and digits after compatibility decomposition. */
const asciiOf = (text: string): string =>
  text
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]/g, "");

function makeCharacterFold(): ReadonlyMap<number, string> {
  const table = new Map<number, string>();
  for (const [first, last] of STYLED_BLOCKS) {
    for (let code = first; code <= last; code += 1) {
      const ascii = asciiOf(String.fromCodePoint(code));
      if (ascii !== "") table.set(code, ascii);
    }
  }
  const pairs = Array.from(LOOK_ALIKES);
  for (let index = 0; index + 1 < pairs.length; index += 2) {
    table.set(pairs[index]?.codePointAt(0) ?? 0, pairs[index + 1] ?? "");
  }
  // Tag characters are an invisible copy of ASCII; regional indicators are drawn as letters.
  for (let code = 0x20; code < 0x7f; code += 1) {
    table.set(0xe0000 + code, asciiOf(String.fromCharCode(code)));
  }
  for (let letter = 0; letter < 26; letter += 1) {
    table.set(0x1f1e6 + letter, String.fromCharCode(0x61 + letter));
  }
  return table;
}

let characterFold: ReadonlyMap<number, string> | undefined;

/** ASCII letters and digits that a character outside ASCII stands for; empty when it stands for none. */
export function foldCharacter(code: number): string {
  characterFold ??= makeCharacterFold();
  return characterFold.get(code) ?? "";
}

/** Reads one UTF-8 sequence; a broken one is a single byte with code 0. */
export function readCharacter(
  bytes: Uint8Array,
  index: number,
): { readonly code: number; readonly length: number } {
  const lead = bytes[index] ?? 0;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
  if (length === 1 || index + length > bytes.length) return { code: 0, length: 1 };
  let code = lead & (0xff >> (length + 1));
  for (let next = index + 1; next < index + length; next += 1) {
    const byte = bytes[next] ?? 0;
    if ((byte & 0xc0) !== 0x80) return { code: 0, length: 1 };
    code = code * 64 + (byte & 0x3f);
  }
  return { code, length };
}
