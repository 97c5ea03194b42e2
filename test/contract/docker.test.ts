// The contract on the real engine with doors that are sockets: with its default runtime, and with gVisor where that is registered.
import { requires } from "../support/requires.ts";
import { BY_SOCKETS } from "./attachments.ts";
import { describeBackend } from "./backend-suite.ts";
import { leftOnEngine, openDocker } from "./docker-subject.ts";

const attachment = { ...BY_SOCKETS, leftOnEngine };

describeBackend("docker", () => openDocker("runc"), requires("docker"), attachment);
describeBackend(
  "docker with gVisor",
  () => openDocker("runsc"),
  requires("docker", "runsc"),
  attachment,
);
