/** Values that cost something to make and are not needed in every run: made at the first use, then kept. */

/** A function that calls `make` once and returns the same value ever after. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
