/** What the engine answers, parsed as deep as we use it. Other keys are dropped; a missing one that we need is an error. */
import * as z from "zod/mini";

const text = z.string();
/** The engine says null where it means none. */
const orEmptyList = <T extends z.ZodMiniType>(item: T) =>
  z.pipe(
    z.nullish(z.array(item)),
    z.transform((list) => list ?? []),
  );
const orEmptyRecord = <T extends z.ZodMiniType>(item: T) =>
  z.pipe(
    z.nullish(z.record(text, item)),
    z.transform((record) => record ?? {}),
  );
const orEmptyText = z.pipe(
  z.nullish(text),
  z.transform((value) => value ?? ""),
);
const orFalse = z.pipe(
  z.nullish(z.boolean()),
  z.transform((value) => value ?? false),
);
const orZero = z.pipe(
  z.nullish(z.number()),
  z.transform((value) => value ?? 0),
);

export const versionSchema = z.object({
  Version: text,
  ApiVersion: text,
  Os: orEmptyText,
  Arch: orEmptyText,
  KernelVersion: orEmptyText,
});
export type EngineVersion = z.infer<typeof versionSchema>;

export const infoSchema = z.object({
  ID: orEmptyText,
  Driver: orEmptyText,
  CgroupDriver: orEmptyText,
  CgroupVersion: orEmptyText,
  KernelVersion: orEmptyText,
  OperatingSystem: orEmptyText,
  OSType: orEmptyText,
  Architecture: orEmptyText,
  NCPU: orZero,
  MemTotal: orZero,
  MemoryLimit: orFalse,
  SwapLimit: orFalse,
  PidsLimit: orFalse,
  CpuCfsQuota: orFalse,
  Name: orEmptyText,
  Runtimes: orEmptyRecord(z.object({ path: orEmptyText, runtimeArgs: orEmptyList(text) })),
  DefaultRuntime: orEmptyText,
  InitBinary: orEmptyText,
  SecurityOptions: orEmptyList(text),
});
export type EngineInfo = z.infer<typeof infoSchema>;

export const createdSchema = z.object({ Id: text, Warnings: orEmptyList(text) });

export const waitSchema = z.object({
  StatusCode: z.number(),
  Error: z.nullish(z.object({ Message: orEmptyText })),
});

const mount = z.object({
  Type: orEmptyText,
  Source: orEmptyText,
  Destination: orEmptyText,
  RW: orFalse,
});

const networkEndpoint = z.object({
  NetworkID: orEmptyText,
  IPAddress: orEmptyText,
  Gateway: orEmptyText,
});
const portBinding = z.object({ HostIp: orEmptyText, HostPort: orEmptyText });

export const containerSchema = z.object({
  Id: text,
  Name: orEmptyText,
  Image: orEmptyText,
  State: z.object({
    Status: orEmptyText,
    Running: orFalse,
    Pid: orZero,
    ExitCode: orZero,
    OOMKilled: orFalse,
    Error: orEmptyText,
    StartedAt: orEmptyText,
  }),
  Config: z.object({
    Image: orEmptyText,
    User: orEmptyText,
    Tty: orFalse,
    Labels: orEmptyRecord(text),
  }),
  HostConfig: z.object({
    NetworkMode: orEmptyText,
    PidMode: orEmptyText,
    IpcMode: orEmptyText,
    UTSMode: orEmptyText,
    UsernsMode: orEmptyText,
    CgroupnsMode: orEmptyText,
    Runtime: orEmptyText,
    Privileged: orFalse,
    ReadonlyRootfs: orFalse,
    PublishAllPorts: orFalse,
    CapAdd: orEmptyList(text),
    CapDrop: orEmptyList(text),
    Dns: orEmptyList(text),
    SecurityOpt: orEmptyList(text),
    Devices: orEmptyList(z.unknown()),
    DeviceRequests: orEmptyList(z.unknown()),
    VolumesFrom: orEmptyList(text),
    Memory: orZero,
    MemorySwap: orZero,
    NanoCpus: orZero,
    PidsLimit: orZero,
  }),
  Mounts: orEmptyList(mount),
  NetworkSettings: z.object({
    Networks: orEmptyRecord(networkEndpoint),
    Ports: orEmptyRecord(z.nullish(z.array(portBinding))),
  }),
});
export type ContainerInspect = z.infer<typeof containerSchema>;

const containerSummary = z.object({
  Id: text,
  Names: orEmptyList(text),
  Image: orEmptyText,
  State: orEmptyText,
  Status: orEmptyText,
  Labels: orEmptyRecord(text),
  Ports: orEmptyList(
    z.object({
      IP: orEmptyText,
      PrivatePort: orZero,
      PublicPort: orZero,
      Type: orEmptyText,
    }),
  ),
});
export const containersSchema = z.array(containerSummary);
export type ContainerSummary = z.infer<typeof containerSummary>;

export const execCreatedSchema = z.object({ Id: text });
export const execSchema = z.object({
  Running: orFalse,
  ExitCode: z.nullish(z.number()),
  Pid: orZero,
});
export type ExecInspect = z.infer<typeof execSchema>;

export const networkSchema = z.object({
  Id: text,
  Name: text,
  Driver: orEmptyText,
  Internal: orFalse,
  Labels: orEmptyRecord(text),
  Options: orEmptyRecord(text),
  IPAM: z.object({
    Config: orEmptyList(z.object({ Subnet: orEmptyText, Gateway: orEmptyText })),
  }),
  Containers: orEmptyRecord(z.object({ Name: orEmptyText, IPv4Address: orEmptyText })),
});
export const networksSchema = z.array(networkSchema);
export type NetworkInspect = z.infer<typeof networkSchema>;

const NO_CONFIG = {
  ...{ User: "", Env: [], Entrypoint: [], Cmd: [], WorkingDir: "", Labels: {}, Volumes: {} },
};

export const imageSchema = z.object({
  Id: text,
  RepoTags: orEmptyList(text),
  Architecture: orEmptyText,
  Os: orEmptyText,
  Size: orZero,
  Created: orEmptyText,
  Config: z.pipe(
    z.nullish(
      z.object({
        User: orEmptyText,
        Env: orEmptyList(text),
        Entrypoint: orEmptyList(text),
        Cmd: orEmptyList(text),
        WorkingDir: orEmptyText,
        Labels: orEmptyRecord(text),
        Volumes: orEmptyRecord(z.unknown()),
      }),
    ),
    z.transform((config) => config ?? NO_CONFIG),
  ),
});
export type ImageInspect = z.infer<typeof imageSchema>;

const imageSummary = z.object({
  Id: text,
  RepoTags: orEmptyList(text),
  Labels: orEmptyRecord(text),
  Size: orZero,
  Created: orZero,
});
export const imagesSchema = z.array(imageSummary);
export type ImageSummary = z.infer<typeof imageSummary>;

/** One line of what a build, load or import says while it runs. */
export const progressSchema = z.object({
  stream: z.optional(text),
  status: z.optional(text),
  error: z.optional(text),
  aux: z.optional(z.object({ ID: z.optional(text) })),
});
