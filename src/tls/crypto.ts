/**
 * Node's crypto, loaded on first use. Loading it takes as long as everything else that a bundle does before its doors
 * accept, and nothing is signed until then.
 */
export const crypto = (): typeof import("node:crypto") => process.getBuiltinModule("node:crypto");
