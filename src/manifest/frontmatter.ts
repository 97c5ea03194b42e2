/** Splits a manifest file into its YAML block and its Markdown body. Offsets are those of the whole file. */

/** Largest YAML block of a bottle, in characters: a thousand routes. It comes from the operator. */
export const MAX_BOTTLE_BLOCK: number = 128 * 1024;
/** Largest YAML block of an agent: it may come from a clone, and has a few short keys. */
export const MAX_AGENT_BLOCK: number = 16 * 1024;

/** A file's two parts. */
export interface FrontMatter {
  readonly kind: "ok";
  readonly yaml: string;
  /** Offset of `yaml` in the file. */
  readonly offset: number;
  readonly body: string;
}

/** Why a file has no front matter. */
export interface FrontMatterFault {
  readonly kind: "fault";
  readonly offset: number;
  readonly message: string;
}

const OPENING = /^\uFEFF?---[ \t]*(?:\r?\n|$)/;
const CLOSING = /^---[ \t]*(?:\r?\n|$)/gm;

/** Finds the block between two `---` lines at the start of the file. */
export function splitFrontMatter(text: string, maxLength: number): FrontMatter | FrontMatterFault {
  const opening = OPENING.exec(text)?.[0];
  if (opening === undefined) {
    const message = 'the first line is not "---"; a YAML block between two "---" lines is expected';
    return { kind: "fault", offset: 0, message };
  }
  const closing = new RegExp(CLOSING);
  closing.lastIndex = opening.length;
  const end = closing.exec(text);
  if (end === null) {
    const message = 'the YAML block has no end; a second "---" line is expected';
    return { kind: "fault", offset: 0, message };
  }
  const yaml = text.slice(opening.length, end.index);
  if (yaml.length > maxLength) {
    const message = `the YAML block has ${yaml.length} characters; at most ${maxLength} are accepted`;
    return { kind: "fault", offset: opening.length, message };
  }
  return { kind: "ok", yaml, offset: opening.length, body: text.slice(end.index + end[0].length) };
}
