/** Looks at what passes by, without holding any of it. */

/** Yields each item after `onItem` has seen it; what `onItem` throws ends the iteration. */
export async function* tap<T>(
  items: AsyncIterable<T> | Iterable<T>,
  onItem: (item: T) => void,
): AsyncGenerator<T, void, undefined> {
  for await (const item of items) {
    onItem(item);
    yield item;
  }
}
