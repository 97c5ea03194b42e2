// Leaves the program out of the CLI's entry: it is a file of its own, built by itself.
import type { Plugin } from "esbuild";

/** The esbuild plugin. */
export const program: Plugin = {
  name: "program",
  setup: (build) => {
    build.onResolve({ filter: /^\.\/main\.ts$/ }, () => ({
      path: "./program.mjs",
      external: true,
    }));
  },
};
