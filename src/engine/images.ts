/** Image calls. Building, loading and importing take their bytes as tar streams and say what they do line by line. */
import { LaunchError } from "../base/errors.ts";
import { labelFilter } from "./containers.ts";
import type { BuildRequest, CallOptions, Images, ImportRequest } from "./contract.ts";
import { readProgress } from "./progress.ts";
import { imageSchema, imagesSchema } from "./schemas.ts";
import { part, type Transport } from "./transport.ts";

const NOT_FOUND = 404;
/** Characters of references and ids; what else there is would be read as another path of the API. */
const REFERENCE = /^[A-Za-z0-9][\w.:@/-]*$/;
const SILENT = (): void => undefined;

/** Calls on images of one engine. */
export function openImages(transport: Transport): Images {
  return {
    inspect: async (reference, options) => {
      const path = `${imagePath(reference)}/json`;
      const call = { ...options, what: `inspecting image "${reference}"`, path };
      return transport.jsonIfThere({ ...call, method: "GET" }, imageSchema);
    },
    list: (labels, options) =>
      transport.json(
        {
          ...options,
          what: "listing images",
          method: "GET",
          path: "/images/json",
          query: { filters: labelFilter(labels) },
        },
        imagesSchema,
      ),
    tag: async (source, repository, tag, options) => {
      await transport.call({
        ...options,
        what: `naming image "${source}" ${repository}:${tag}`,
        method: "POST",
        path: `${imagePath(source)}/tag`,
        query: { repo: repository, tag },
      });
    },
    remove: async (reference, options) => {
      await transport.call({
        ...options,
        what: `removing image "${reference}"`,
        method: "DELETE",
        path: imagePath(reference),
        accepts: [NOT_FOUND],
      });
    },
    build: (request, options) => build(transport, request, options),
    ...openArchives(transport),
    importTree: (request, options) => importTree(transport, request, options),
  };
}

/** The calls that take or give whole images. */
function openArchives(transport: Transport): Pick<Images, "load" | "save"> {
  return {
    load: async (archive, options) => {
      const what = "loading an image";
      const answer = await transport.stream({
        timeoutMs: Infinity,
        ...options,
        what,
        method: "POST",
        path: "/images/load",
        query: { quiet: true },
        archive,
      });
      const { tail } = await readProgress(what, answer, SILENT);
      return tail.flatMap((line) => /^Loaded image(?: ID)?: (.+)$/.exec(line)?.[1] ?? []);
    },
    save: async (references, options) => {
      const names = references.map((reference) => checked(reference));
      return transport.stream({
        timeoutMs: Infinity,
        ...options,
        what: `saving image ${names.join(", ")}`,
        method: "GET",
        path: "/images/get",
        query: { names },
      });
    },
  };
}

async function build(
  transport: Transport,
  request: BuildRequest,
  options: CallOptions | undefined,
): Promise<string> {
  const what = `building image ${request.tags.join(", ")}`;
  const { labels, buildArgs, context, tags } = request;
  const answer = await transport.stream({
    timeoutMs: Infinity,
    ...options,
    what,
    method: "POST",
    path: "/build",
    query: {
      t: tags,
      dockerfile: request.dockerfile,
      rm: true,
      forcerm: true,
      target: request.target,
      networkmode: request.networkMode,
      labels: labels === undefined ? undefined : JSON.stringify(labels),
      buildargs: buildArgs === undefined ? undefined : JSON.stringify(buildArgs),
    },
    archive: context,
  });
  const { id } = await readProgress(what, answer, request.onProgress ?? SILENT);
  if (id !== undefined) return id;
  throw new LaunchError("launch.backend", `${what} failed: the container engine named no image`);
}

async function importTree(
  transport: Transport,
  request: ImportRequest,
  options: CallOptions | undefined,
): Promise<string> {
  const what = `importing image "${request.tag}"`;
  const answer = await transport.stream({
    timeoutMs: Infinity,
    ...options,
    what,
    method: "POST",
    path: "/images/create",
    query: { fromSrc: "-", repo: checked(request.tag), changes: request.changes },
    archive: request.tree,
  });
  const { tail } = await readProgress(what, answer, SILENT);
  const id = tail.at(-1);
  if (id?.startsWith("sha256:") === true) return id;
  throw new LaunchError("launch.backend", `${what} failed: the container engine named no image`);
}

/** Slashes of a reference stay: they are part of the API's path. */
function imagePath(reference: string): string {
  return `/images/${checked(reference).split("/").map(part).join("/")}`;
}

function checked(reference: string): string {
  if (REFERENCE.test(reference) && !reference.split("/").includes("..")) return reference;
  throw new LaunchError("launch.backend", `"${reference}" is not a name or id of an image`);
}
