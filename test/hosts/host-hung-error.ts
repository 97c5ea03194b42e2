// The one error after which something is tried again.

/** The emulated host itself failed, not what ran in it. */
export class HostHungError extends Error {
  override readonly name = "HostHungError";
}
