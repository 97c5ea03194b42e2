/**
 * The credential rule for `auth.scheme: json`: the field at the pointer holds the placeholder or nothing, and gets the real
 * value; everything else of the body is written as it came. Only a JSON object that is held whole can carry one.
 */
import { parseJsonExactly } from "../base/json.ts";
import { deny } from "./decide.ts";
import type { Route } from "./egress.ts";
import { type HeaderList, headerValues } from "./headers.ts";
import type { Deny } from "./verdict.ts";

/** A pointer's names, undone from their escapes. */
export function pointerNames(pointer: string): readonly string[] {
  return pointer
    .slice(1)
    .split("/")
    .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** What of a request is judged. `body` is undefined where it was not held whole. */
export interface JsonRequest {
  readonly headers: HeaderList;
  readonly body: Buffer | undefined;
}

/** Judges the field that the guest sent; undefined where the real value may be put there, or the route has no such credential. */
export function judgeJsonCredential(route: Route, request: JsonRequest): Deny | undefined {
  const { auth } = route;
  if (auth?.carrier.kind !== "json") return undefined;
  const { pointer } = auth.carrier;
  const place = findPlace(request, pointer);
  if (typeof place === "string") {
    const why = `${route.rule} puts a credential into ${pointer} of a JSON body, and ${place}`;
    return deny("no-json-body", route.rule, `${why}; send a JSON object of at most 1 MiB`);
  }
  const sent = own(place.parent, place.name);
  if (sent === auth.placeholder) return undefined;
  if (sent !== undefined && sent !== null && sent !== "") {
    const why = `${pointer} of the body holds a credential that is not the bottle's placeholder for ${route.host}`;
    return deny("foreign-credential", route.rule, `${why}; send the placeholder or nothing`);
  }
  if (!auth.requirePlaceholder) return undefined;
  const why = `${route.rule} requires the placeholder of ${route.host} and the request came without it`;
  return deny("placeholder-missing", route.rule, `${why}; send it at ${pointer} of the body`);
}

/** Puts the real value into a body that was judged; undefined where it cannot stand there after all. */
export function setJsonCredential(
  body: Buffer,
  pointer: string,
  value: string,
): Buffer | undefined {
  const place = findPlace({ headers: JSON_HEADERS, body }, pointer);
  if (typeof place === "string") return undefined;
  put(place.parent, place.name, value);
  return Buffer.from(JSON.stringify(place.root), "utf8");
}

const JSON_HEADERS: HeaderList = [["content-type", "application/json"]];

type JsonObject = Record<string, unknown>;

interface Place {
  readonly root: unknown;
  readonly parent: JsonObject;
  readonly name: string;
}

/** The object in which a pointer's last name stands, made where it is missing; or what is wrong with the body. */
function findPlace({ headers, body }: JsonRequest, pointer: string): Place | string {
  if (!isJson(headers)) return "the request says of its body that it is something else";
  if (headerValues(headers, "content-encoding").length > 0) return "the body is encoded";
  if (body === undefined) return "the body is missing or too long to be held";
  const root = readBody(body);
  if (!isObject(root)) return "the body is no JSON object";
  const names = pointerNames(pointer);
  let parent = root;
  for (const name of names.slice(0, -1)) {
    const child = own(parent, name) ?? {};
    if (!isObject(child)) return `what stands above ${pointer} is no object`;
    if (hasTwin(parent, name)) return TWIN;
    put(parent, name, child);
    parent = child;
  }
  const name = names.at(-1) ?? "";
  return hasTwin(parent, name) ? TWIN : { root, parent, name };
}

const TWIN = "two of its fields differ in letter case only, which some servers take for one";

const own = (object: JsonObject, name: string): unknown =>
  Object.hasOwn(object, name) ? object[name] : undefined;

/** Sets a field whatever it is called: `__proto__` is one like any other in JSON. */
function put(object: JsonObject, name: string, value: unknown): void {
  Object.defineProperty(object, name, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

function hasTwin(object: JsonObject, name: string): boolean {
  const wanted = name.toLowerCase();
  return Object.keys(object).some((it) => it !== name && it.toLowerCase() === wanted);
}

function isJson(headers: HeaderList): boolean {
  const types = headerValues(headers, "content-type");
  return types.length === 1 && /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(types[0] ?? "");
}

function readBody(body: Buffer): unknown {
  try {
    return parseJsonExactly(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    const isUnreadable =
      error instanceof SyntaxError || error instanceof RangeError || error instanceof TypeError;
    if (isUnreadable) return undefined;
    throw error;
  }
}

function isObject(value: unknown): value is JsonObject {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    // What keeps a number's spelling is an object too.
    Object.getPrototypeOf(value) !== null
  );
}
