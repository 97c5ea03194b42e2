/**
 * Makes sure that an image exists: one look at the engine where nothing changed, a build where something did. Whatever is
 * returned carries the key of exactly the content that was read.
 */
import type { ImagePlan } from "../backends/contract.ts";
import { LaunchError, messageOf, UsageError } from "../base/errors.ts";
import type { HostPath } from "../base/ids.ts";
import { IMAGE_FAMILY_LABEL, IMAGE_KEY_LABEL } from "../base/labels.ts";
import { ignore } from "../base/log.ts";
import type { Engine } from "../engine/contract.ts";
import type { ImageInspect } from "../engine/schemas.ts";
import { openContext, readContext } from "./context.ts";
import type { BuildPlan, ContextEntry, ImagePorts, ResolvedImage } from "./contract.ts";
import { imageKey } from "./image-key.ts";
import { findPackageRoot } from "./package-root.ts";
import {
  builtName,
  builtPrefix,
  isReference,
  parseBuildSettings,
  resolveBuild,
  resolveBundleBuild,
} from "./resolve-build.ts";

/** Builds of one family that are kept: of a few checkouts or homes that take turns. */
const KEPT_BUILDS = 4;
/** What the first stages of our Dockerfiles are labelled as; the engine keeps them without a name. */
const STAGE_FAMILY = "stage";
/** Enough for two builds at once, none of which may lose its stage. */
const KEPT_STAGES = 3;
/** What an engine lists where an image has no name. */
const NAMELESS = "<none>:<none>";
/** Lines of a step are cut there for people. */
const MAX_LINE = 160;
/** What a build prints is coloured, and may be anything. */
const CONTROLS = /\u001b\[[\d;]*[A-Za-z]|[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** The guest's image. Throws LaunchError `launch.image`, or HostError where the engine cannot be used. */
export async function ensureImage(plan: ImagePlan, ports: ImagePorts): Promise<ResolvedImage> {
  if (plan.kind === "reference") return findImage(plan.reference, "BOT_BOTTLE_IMAGE", ports);
  const settings = parseBuildSettings(ports.env);
  return ensureBuilt(resolveBuild(plan, settings, await findPackageRoot()), ports);
}

/** The bundle's image around the built entry file, or the one that `BOT_BOTTLE_SIDECAR_IMAGE` names. */
export async function ensureBundleImage(
  entryPath: HostPath,
  ports: ImagePorts,
): Promise<ResolvedImage> {
  const given = ports.env["BOT_BOTTLE_SIDECAR_IMAGE"] || undefined;
  if (given !== undefined) return findImage(given, "BOT_BOTTLE_SIDECAR_IMAGE", ports);
  const settings = parseBuildSettings(ports.env);
  return ensureBuilt(resolveBundleBuild(entryPath, settings, await findPackageRoot()), ports);
}

/** Takes away the name that one bottle's image has; the image stays for the next bottle. Other plans own no name. */
export async function releaseImage(plan: ImagePlan, engine: Engine): Promise<void> {
  if (plan.kind === "dockerfile") await engine.images.remove(plan.tag);
}

async function findImage(
  reference: string,
  variable: string,
  { engine, signal }: ImagePorts,
): Promise<ResolvedImage> {
  if (!isReference(reference)) {
    const seen = `${variable} is "${reference}"`;
    throw new UsageError("usage.invalid", `${seen}; the name or id of an image is expected`, {
      hint: `set ${variable} to an image of docker images, or unset it; see docs/images.md`,
    });
  }
  const found = await engine.images.inspect(reference, { signal });
  if (found !== undefined) return resolved(found, reference);
  throw new LaunchError(
    "launch.image",
    `image "${reference}" was not found on the container engine; one that exists is expected`,
    { hint: `run docker pull ${reference}, or set ${variable} to an image of docker images` },
  );
}

/** Finds the build by the name that holds its key, else makes it. */
export async function ensureBuilt(build: BuildPlan, ports: ImagePorts): Promise<ResolvedImage> {
  const { engine, signal } = ports;
  const { tag, family } = build;
  const entries = await readContext(build, signal);
  const key = imageKey(build, entries);
  const name = builtName(family, key);
  const found = await engine.images.inspect(name, { signal });
  if (found !== undefined) {
    if (!found.RepoTags.includes(tag)) await nameImage(engine, found.Id, tag);
    return resolved(found, tag);
  }
  const labels = { [IMAGE_KEY_LABEL]: key, [IMAGE_FAMILY_LABEL]: family };
  const id = await runBuild({ build, entries, labels, tags: [tag, name] }, ports);
  ports.onProgress(`image ${tag} is built`);
  const made = await engine.images.inspect(id, { signal });
  if (made === undefined) throw goneAlready(tag);
  const later = "older builds are removed at the next build";
  await ignore(removeOlder(engine, family, KEPT_BUILDS - 1), later);
  await ignore(removeOlder(engine, STAGE_FAMILY, KEPT_STAGES), later);
  return resolved(made, tag);
}

function goneAlready(tag: string): LaunchError {
  const seen = "somebody removed it as soon as it was built";
  return new LaunchError("launch.image", `image "${tag}" is not there: ${seen}`, {
    hint: "start the bottle again",
  });
}

function resolved({ Id, Config }: ImageInspect, reference: string): ResolvedImage {
  return { id: Id, reference, env: Config.Env, volumes: Object.keys(Config.Volumes) };
}

async function nameImage(engine: Engine, id: string, reference: string): Promise<void> {
  const colon = reference.lastIndexOf(":");
  await engine.images.tag(id, reference.slice(0, colon), reference.slice(colon + 1));
}

interface Build {
  readonly build: BuildPlan;
  readonly entries: readonly ContextEntry[];
  readonly labels: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
}

async function runBuild(
  { build, entries, labels, tags }: Build,
  ports: ImagePorts,
): Promise<string> {
  const { engine, signal, onProgress } = ports;
  const reference = build.tag;
  let step = "";
  onProgress(`building image ${reference}`);
  const onLine = (line: string): void => {
    if (!line.startsWith("Step ")) return;
    step = line;
    onProgress(`${reference}: ${forPeople(line)}`);
  };
  try {
    const { dockerfile, args: buildArgs } = build;
    return await engine.images.build(
      { context: openContext(entries), dockerfile, tags, buildArgs, labels, onProgress: onLine },
      { signal },
    );
  } catch (error) {
    if (!(error instanceof LaunchError) || error.code === "launch.image") throw error;
    throw failedBuild(build, step, error);
  }
}

/** Control characters of a terminal go, and what is too long for a line. */
function forPeople(line: string): string {
  return line.replace(CONTROLS, "").slice(0, MAX_LINE);
}

/** The engine's words with the last lines of output, and what to do about the step that failed. */
function failedBuild(build: BuildPlan, step: string, cause: LaunchError): LaunchError {
  const said = String(cause.details["engine"] ?? messageOf(cause)).replace(CONTROLS, "");
  const hint = / : FROM /.test(step) ? baseHint(build) : stepHint(build);
  return new LaunchError(
    "launch.image",
    `image "${build.tag}" could not be built: the container engine says "${said}"`,
    { cause, hint, details: { ...cause.details, step, dockerfile: build.source } },
  );
}

/** The engine neither has the base nor gets it. */
function baseHint({ args }: BuildPlan): string {
  const base = args["BASE_IMAGE"];
  const way =
    "an image with Node that the engine has; scripts/images/make-base.sh makes one without a registry (docs/images.md)";
  return base === undefined
    ? `pull its base image, or set BOT_BOTTLE_BASE_IMAGE to ${way}`
    : `BOT_BOTTLE_BASE_IMAGE is ${base}: run docker pull ${base}, or set it to ${way}`;
}

function stepHint({ args, source }: BuildPlan): string {
  const roots =
    args["BUILD_CA"] === undefined
      ? "behind a private certificate authority set BOT_BOTTLE_BUILD_CA to its PEM file"
      : "where certificates are what fails, see whether the roots in BOT_BOTTLE_BUILD_CA are the right ones";
  return `edit ${source}; ${roots} (docs/images.md)`;
}

/** Removes builds of one family that have no other name than their own, but for the newest few. One in use stays. */
async function removeOlder(engine: Engine, family: string, kept: number): Promise<void> {
  const all = await engine.images.list({ [IMAGE_FAMILY_LABEL]: family });
  const isOwn = (tag: string): boolean => tag === NAMELESS || tag.startsWith(builtPrefix(family));
  const older = all
    .filter((image) => image.RepoTags.every(isOwn))
    .sort((a, b) => b.Created - a.Created)
    .slice(kept);
  for (const { Id, RepoTags } of older) {
    const names = RepoTags.filter((tag) => tag !== NAMELESS);
    for (const name of names.length === 0 ? [Id] : names) await engine.images.remove(name);
  }
}
