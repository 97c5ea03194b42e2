/**
 * The agent's output in a file: bounded, and never the owner's end. What the disk does not take is dropped and counted, and the
 * file says so as soon as it can.
 */
import { closeSync, fstatSync, writeSync } from "node:fs";
import { systemCode } from "../base/errors.ts";

/** Largest log of a bottle's that a guest can make grow. */
export const MAX_LOG_BYTES: number = 64 * 1024 * 1024;

/** A log that takes everything and never throws. */
export interface AgentLog {
  write(chunk: Uint8Array): void;
  /** Says what is missing, as far as it can, and closes the file. */
  close(): void;
}

/** Opens the log on a descriptor, which it owns from now on. */
export function openAgentLog(fd: number, maxBytes: number = MAX_LOG_BYTES): AgentLog {
  return new BoundedLog(fd, maxBytes);
}

class BoundedLog implements AgentLog {
  readonly #fd: number;
  #room: number;
  #dropped = 0;
  #why = "";
  #isOpen = true;

  constructor(fd: number, maxBytes: number) {
    this.#fd = fd;
    this.#room = Math.max(0, maxBytes - fstatSync(fd).size);
  }

  write(chunk: Uint8Array): void {
    if (!this.#isOpen || this.#room === 0) return;
    if (!this.#sayDropped()) return this.#drop(chunk.length);
    const taken = chunk.subarray(0, this.#room);
    const written = this.#append(taken);
    this.#room -= written;
    this.#drop(taken.length - written);
    if (this.#room === 0) this.#append(noteOf("the log is full, and what follows is not in it"));
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#sayDropped();
    this.#isOpen = false;
    closeSync(this.#fd);
  }

  #drop(count: number): void {
    this.#dropped += count;
  }

  /** False while there is something to say, and still no space to say it. */
  #sayDropped(): boolean {
    if (this.#dropped === 0) return true;
    const note = noteOf(`${this.#dropped} bytes of output are missing here: ${this.#why}`);
    // A note that was cut off is one all the same: said once.
    if (this.#append(note) === 0) return false;
    this.#dropped = 0;
    return true;
  }

  /** Returns how many bytes the file took. */
  #append(bytes: Uint8Array): number {
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(this.#fd, bytes, written);
    } catch (error) {
      this.#why = systemCode(error) ?? "unknown error";
    }
    return written;
  }
}

function noteOf(text: string): Uint8Array {
  return Buffer.from(`\n[bot-bottle: ${text}]\n`);
}
