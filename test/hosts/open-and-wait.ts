// Opens a host, tells where it is, and waits to be killed.
import { openMachineHost } from "../support/smolvm-host.ts";

const { pid, directory } = await openMachineHost();
process.stdout.write(`${JSON.stringify({ pid, directory })}\n`);
setInterval(() => "until killed", 1000);
