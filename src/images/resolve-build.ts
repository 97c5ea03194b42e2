/** Decides how an image is built: files, arguments and names, from the plan and the operator's settings. Pure. */
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import type { ImagePlan } from "../backends/contract.ts";
import { UsageError } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import type { BuildPlan, BuildSettings, ContextFile } from "./contract.ts";

/** Name of the bundle's image. */
export const BUNDLE_TAG = "bot-bottle-sidecars:latest";
/** Where the operator's roots lie in a context; the argument `BUILD_CA` holds this name. */
export const BUILD_CA_FILE = ".bot-bottle-build-ca.crt";
/** Files of the package that the Dockerfile of a template copies; none for templates that install nothing. */
const TEMPLATE_FILES: Readonly<Record<string, readonly string[]>> = {
  claude: ["scripts/agents/package.json", "scripts/agents/package-lock.json"],
  codex: ["scripts/agents/package.json", "scripts/agents/package-lock.json"],
};
/** Characters of a reference; anything else in an argument could end its line in a Dockerfile. */
const REFERENCE = /^[A-Za-z0-9][\w.:@/-]{0,254}$/;

/** True for what can be the name or id of an image. */
export function isReference(text: string): boolean {
  return REFERENCE.test(text);
}

/** Reads the settings from the operator's environment. Throws UsageError for one that cannot be meant. */
export function parseBuildSettings(
  env: Readonly<Record<string, string | undefined>>,
): BuildSettings {
  const baseImage = env["BOT_BOTTLE_BASE_IMAGE"] || undefined;
  const buildCa = env["BOT_BOTTLE_BUILD_CA"] || undefined;
  if (baseImage !== undefined && !REFERENCE.test(baseImage)) {
    const seen = `BOT_BOTTLE_BASE_IMAGE is "${baseImage}"`;
    throw new UsageError("usage.invalid", `${seen}; the name or id of an image is expected`, {
      hint: "set it to an image with Node that docker images shows, or unset it; see docs/images.md",
    });
  }
  if (buildCa !== undefined && !buildCa.startsWith("/")) {
    const seen = `BOT_BOTTLE_BUILD_CA is "${buildCa}"`;
    throw new UsageError("usage.path", `${seen}; the absolute path of a PEM file is expected`, {
      hint: "for example export BOT_BOTTLE_BUILD_CA=/etc/ssl/certs/ca-certificates.crt; see docs/images.md",
    });
  }
  return { baseImage, buildCa: buildCa === undefined ? undefined : parseHostPath(buildCa) };
}

/** A build of a provider's or a bottle's image. `packageRoot` is where images/ lies. */
export function resolveBuild(
  plan: Exclude<ImagePlan, { readonly kind: "reference" }>,
  settings: BuildSettings,
  packageRoot: HostPath,
): BuildPlan {
  if (plan.kind === "provider") {
    const files = TEMPLATE_FILES[plan.template] ?? [];
    return packaged({ name: plan.template, tag: plan.tag, files }, settings, packageRoot);
  }
  const [repository = plan.tag] = plan.tag.split(":");
  const place = createHash("sha256").update(plan.dockerfile).digest("hex").slice(0, 12);
  return {
    tag: plan.tag,
    family: `${repository}:${place}`,
    dockerfile: basename(plan.dockerfile),
    directory: parseHostPath(dirname(plan.dockerfile)),
    // Named, so that no .dockerignore leaves it out.
    files: [
      { path: basename(plan.dockerfile), hostPath: plan.dockerfile },
      ...settingFiles(settings),
    ],
    args: settingArgs(settings),
    source: plan.dockerfile,
  };
}

/**
 * The name that one build is found by, and that keeps its image. Only who may use the engine gives names: labels are also
 * what a base, or a stage of any Dockerfile, says of itself.
 */
export function builtName(family: string, key: string): string {
  return `${builtPrefix(family)}${key}`;
}

/** How the names of all builds of a family begin. */
export function builtPrefix(family: string): string {
  return `${family.replace(":", ":built-")}-`;
}

/** The build of the bundle's image around the built entry file and what lies beside it. */
export function resolveBundleBuild(
  entryPath: HostPath,
  settings: BuildSettings,
  packageRoot: HostPath,
): BuildPlan {
  const files = ["images/sidecars/init.sh"];
  const build = packaged({ name: "sidecars", tag: BUNDLE_TAG, files }, settings, packageRoot);
  const suffixes = parseHostPath(join(dirname(entryPath), "suffixes.js"));
  return {
    ...build,
    files: [
      ...build.files,
      { path: "dist/suffixes.js", hostPath: suffixes },
      { path: "dist/bundle.js", hostPath: entryPath },
    ],
  };
}

interface Packaged {
  readonly name: string;
  readonly tag: string;
  readonly files: readonly string[];
}

/** A Dockerfile of ours; paths in the context are those of the package, so that it also builds by hand. */
function packaged(
  { name, tag, files }: Packaged,
  settings: BuildSettings,
  packageRoot: HostPath,
): BuildPlan {
  const dockerfile = `images/${name}/Dockerfile`;
  const own = [dockerfile, ...files].map((path) => ({
    path,
    hostPath: parseHostPath(join(packageRoot, path)),
  }));
  return {
    tag,
    family: tag,
    dockerfile,
    directory: undefined,
    files: [...own, ...settingFiles(settings)],
    args: settingArgs(settings),
    source: parseHostPath(join(packageRoot, dockerfile)),
  };
}

function settingFiles({ buildCa }: BuildSettings): readonly ContextFile[] {
  return buildCa === undefined ? [] : [{ path: BUILD_CA_FILE, hostPath: buildCa }];
}

function settingArgs({ baseImage, buildCa }: BuildSettings): Readonly<Record<string, string>> {
  return {
    ...(baseImage === undefined ? {} : { BASE_IMAGE: baseImage }),
    ...(buildCa === undefined ? {} : { BUILD_CA: BUILD_CA_FILE }),
  };
}
