/** Headers of one message with their names in lower case: order and repetition kept, looked up without copying. */
import type { HeaderList } from "../../policy/headers.ts";

const NONE: readonly string[] = [];

/** A header list and its lower-case names. Never changes, so what is derived from it may be kept. */
export class HeaderBlock {
  readonly list: HeaderList;
  readonly names: readonly string[];

  constructor(list: HeaderList, names: readonly string[]) {
    this.list = list;
    this.names = names;
  }

  /** Makes a block of a list. */
  static of(list: HeaderList): HeaderBlock {
    return new HeaderBlock(
      list,
      list.map(([name]) => name.toLowerCase()),
    );
  }

  has(name: string): boolean {
    return this.names.includes(name);
  }

  /** All values of a header, given in lower case. */
  values(name: string): readonly string[] {
    let at = this.names.indexOf(name);
    if (at < 0) return NONE;
    const found: string[] = [];
    for (; at >= 0; at = this.names.indexOf(name, at + 1)) found.push(this.list[at]?.[1] ?? "");
    return found;
  }

  /** The elements of a comma-separated header, in lower case. */
  tokens(name: string): readonly string[] {
    const values = this.values(name);
    if (values === NONE) return NONE;
    return values
      .flatMap((value) => value.split(","))
      .map((token) => token.trim().toLowerCase())
      .filter((token) => token !== "");
  }
}

/** No headers. */
export const NO_HEADERS: HeaderBlock = new HeaderBlock([], []);
