/**
 * The operator's terminal while a program of the guest has it: keys go in as they are typed, what comes is shown as it is, and the
 * settings come back whatever happens. stty sets it: Node's own raw mode still changes what is printed.
 */
import { ReadStream, WriteStream } from "node:tty";
import type { EngineStream, TerminalSize } from "../../engine/contract.ts";
import { helperEnv } from "../../process/env.ts";
import type { BackendPorts, LaunchContext } from "../contract.ts";
import { descriptorOf } from "../shared/join-descriptors.ts";
import { onTerminalResize, readTerminalSize } from "../shared/terminal-size.ts";

/** What stty prints of all settings. */
const SETTINGS = /^[0-9a-fA-F:=]+$/;
/** Tries to tell the size to a program that the engine has not started yet. */
const RESIZE_TRIES = 12;
const RESIZE_STEP_MS = 25;

/** Takes the terminal among the guest's descriptors. Disposing gives it back. */
export async function openTerminal(
  stdio: LaunchContext["stdio"],
  ports: BackendPorts,
): Promise<Terminal> {
  const [input = 0, output = 1] = stdio.map((entry, fd) => descriptorOf(entry, fd));
  const saved = (await stty(["-g"], input, ports)).trim();
  const terminal = new Terminal(ports, { input, output, saved });
  await stty(["raw", "-echo"], input, ports);
  return terminal;
}

interface TerminalState {
  readonly input: number;
  readonly output: number;
  /** Settings as they were found; empty when they could not be read. */
  readonly saved: string;
}

/** A terminal in raw mode. */
export class Terminal implements AsyncDisposable {
  readonly #ports: BackendPorts;
  readonly #state: TerminalState;
  readonly #output: WriteStream;
  #input: ReadStream | undefined;
  #isOver = false;
  #isSizeWanted = false;
  #isTelling = false;

  constructor(ports: BackendPorts, state: TerminalState) {
    this.#ports = ports;
    this.#state = state;
    this.#output = new WriteStream(state.output);
    this.#output.on("error", () => undefined);
  }

  /** Moves keys and output until the guest's end is closed; a broken connection is the same to the operator. */
  async join(stream: EngineStream, resize: (size: TerminalSize) => Promise<void>): Promise<void> {
    const { stdin, stdout } = stream;
    stdin.on("error", () => undefined);
    const input = new ReadStream(this.#state.input);
    this.#input = input;
    input.on("error", () => undefined);
    input.on("data", (keys: Buffer) => stdin.write(keys));
    const stopListening = onTerminalResize(() => this.#wantSize(resize));
    this.#wantSize(resize);
    try {
      await this.#show(stdout);
    } finally {
      stopListening();
      this.#isOver = true;
      stream.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#input?.destroy();
    this.#output.destroy();
    const { saved, input } = this.#state;
    if (SETTINGS.test(saved)) await stty([saved], input, this.#ports);
  }

  get #size(): TerminalSize {
    return readTerminalSize(this.#state.output);
  }

  /** Sizes are told one after another: the last one told is the one that stays. */
  #wantSize(resize: (size: TerminalSize) => Promise<void>): void {
    this.#isSizeWanted = true;
    if (!this.#isTelling) void this.#tellSizes(resize);
  }

  async #tellSizes(resize: (size: TerminalSize) => Promise<void>): Promise<void> {
    this.#isTelling = true;
    while (this.#isSizeWanted) {
      this.#isSizeWanted = false;
      await this.#tellSize(resize);
    }
    this.#isTelling = false;
  }

  /** The engine answers the start before the program is there, and until then it takes no size. */
  async #tellSize(resize: (size: TerminalSize) => Promise<void>): Promise<void> {
    const { clock, log } = this.#ports;
    for (let tries = 1; tries <= RESIZE_TRIES && !this.#isOver; tries += 1) {
      try {
        await resize(this.#size);
        return;
      } catch (error) {
        log.debug("no size yet", { tries, error });
        await clock.sleep(RESIZE_STEP_MS * tries);
      }
    }
  }

  #show(stdout: EngineStream["stdout"]): Promise<void> {
    return new Promise((resolve) => {
      stdout.on("data", (bytes: Buffer) => {
        if (this.#output.write(bytes)) return;
        stdout.pause();
        this.#output.once("drain", () => stdout.resume());
      });
      stdout.once("end", resolve);
      stdout.once("close", resolve);
      stdout.once("error", () => resolve());
    });
  }
}

/** Runs stty on a terminal; a machine without it leaves the terminal as it is. */
async function stty(args: readonly string[], fd: number, ports: BackendPorts): Promise<string> {
  const { exec, searchPath, log } = ports;
  try {
    await using child = await exec.start(["stty", ...args], {
      env: helperEnv(searchPath),
      stdio: [fd, "pipe", "ignore"],
      // In the terminal's foreground: from elsewhere its settings cannot be changed.
      placement: "foreground",
      name: "stty",
    });
    const chunks: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
    await child.exited;
    return Buffer.concat(chunks).toString("utf8");
  } catch (error) {
    log.warn("the terminal's settings were not changed", { error });
    return "";
  }
}
