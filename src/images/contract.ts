/** What image builds are planned from and come to. A plan names files and arguments, never a secret's value. */
import type { HostPath } from "../base/ids.ts";
import type { Engine } from "../engine/contract.ts";

/** What the engine may use; nothing else is reached from here but the files of the context. */
export interface ImagePorts {
  readonly engine: Engine;
  /** The operator's environment: settings of builds (docs/images.md). */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal | undefined;
  /** Told each step of a build, for people. */
  readonly onProgress: (detail: string) => void;
}

/** An image that exists on the engine. Run it by `id`: a tag may move to another build at any time. */
export interface ResolvedImage {
  /** `sha256:` and 64 hexadecimal digits. */
  readonly id: string;
  /** Its name, for people. */
  readonly reference: string;
  /** `NAME=value` that it gives to every program. */
  readonly env: readonly string[];
  /** Directories that an engine gives each of its containers a volume for. */
  readonly volumes: readonly string[];
}

/** What the operator says about all builds. */
export interface BuildSettings {
  /** `BOT_BOTTLE_BASE_IMAGE`; undefined: the Dockerfile's own. */
  readonly baseImage: string | undefined;
  /** `BOT_BOTTLE_BUILD_CA`: PEM file of roots that package managers trust while building. */
  readonly buildCa: HostPath | undefined;
}

/** One file of the host and its place in the context. */
export interface ContextFile {
  readonly path: string;
  readonly hostPath: HostPath;
}

/** Everything that decides what an image will be. */
export interface BuildPlan {
  /** The name that people see; it stands for the latest build. */
  readonly tag: string;
  /** Builds of the same thing, of which only the newest few are kept: a repository and what tells its families apart. */
  readonly family: string;
  /** Path of the Dockerfile in the context. */
  readonly dockerfile: string;
  /** The whole directory is the context, but for what its .dockerignore leaves out. */
  readonly directory: HostPath | undefined;
  /** Files of the context, beside those of `directory`. */
  readonly files: readonly ContextFile[];
  readonly args: Readonly<Record<string, string>>;
  /** What to edit when a step fails. */
  readonly source: HostPath;
}

/** One entry of a context as it was read: what the key is made of and the tar is checked against. */
export type ContextEntry =
  | { readonly kind: "directory"; readonly path: string; readonly mode: number }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  | {
      readonly kind: "file";
      readonly path: string;
      readonly mode: number;
      readonly hostPath: HostPath;
      readonly size: number;
      /** SHA-256 in hexadecimal digits. */
      readonly digest: string;
    };
