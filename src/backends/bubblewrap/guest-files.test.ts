import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LaunchError } from "../../base/errors.ts";
import { parseBottleId, parseGuestPath, parseHostPath } from "../../base/ids.ts";
import type { GuestPlan } from "../contract.ts";
import { checkMountPoints, prepareEtc } from "./guest-files.ts";

let directory = "";
const host = (...parts: string[]): ReturnType<typeof parseHostPath> =>
  parseHostPath(join(directory, ...parts));

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "guest-files-"));
  await mkdir(host("home", "real"), { recursive: true });
  await mkdir(host("workspace"));
  await symlink("/etc", host("home", "link"));
  await symlink("/etc", host("workspace", "link"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const plan = (guestPath: string, guestWorkspace = "/home/node/workspace"): GuestPlan => ({
  id: parseBottleId("web"),
  hostname: "web",
  homeDir: host("home"),
  workspaceDir: host("workspace"),
  etcDir: host("etc"),
  doorsDir: host("doors"),
  logsDir: host("logs"),
  guestHome: parseGuestPath("/home/node"),
  guestWorkspace: parseGuestPath(guestWorkspace),
  guestDoors: parseGuestPath("/run/bot-bottle/doors"),
  doors: [],
  mounts: [{ hostPath: host("real"), guestPath: parseGuestPath(guestPath) }],
  limits: { memoryBytes: undefined, processes: undefined, cpus: undefined, tmpfsBytes: 1 },
  hostUid: undefined,
  nodePath: host("node"),
  guestInitPath: host("init"),
  allowsUserNamespaces: false,
  attachment: "sockets",
  image: undefined,
  runtime: undefined,
  network: undefined,
  cacheDir: host("cache"),
  terminal: "shared",
});

describe("checkMountPoints", () => {
  it.each(["/ref", "/home/node/real/x", "/home/node/new/x", "/home/node/workspace/x"])(
    "takes %s",
    async (path) => expect(await checkMountPoints(plan(path))).toBeUndefined(),
  );

  it.each([
    ...["/home/node/link", "/home/node/link/cron.d"],
    ...["/home/node/workspace/link/x", "/etc/cron.d"],
  ])("refuses %s, which a link of the guest or the bottle's own files would take", (path) =>
    expect(checkMountPoints(plan(path))).rejects.toThrow(LaunchError),
  );

  it("refuses a workspace that the guest replaced by a link", async () => {
    await expect(checkMountPoints(plan("/ref", "/home/node/link"))).rejects.toThrow(/link/);
  });
});

describe("prepareEtc", () => {
  it("makes a place for each entry of the host, once", async () => {
    await mkdir(host("etc"));
    await prepareEtc(host("etc"), ["passwd"]);
    await prepareEtc(host("etc"), ["passwd"]);
    expect(await readdir(host("etc"))).toEqual(["passwd"]);
  });
});
