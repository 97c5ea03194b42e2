/**
 * Assembles the guest's seccomp filter as classic BPF. Pure. A call of another ABI of the same machine (i386, x32, 32-bit
 * arm) kills the process: its numbers mean other calls.
 */
import {
  type ArgumentTest,
  ERRNO,
  type ErrnoName,
  type FilterOptions,
  type JudgedCall,
  judgedCalls,
  REFUSED_CALLS,
  type SeccompArch,
} from "./syscalls.ts";

/** Most instructions that the kernel takes in one filter (BPF_MAXINSNS). */
export const MAX_FILTER_INSTRUCTIONS = 4096;

/** Opcodes of classic BPF that are used: class | size or operation | mode or source. */
export const BPF = {
  loadWord: 0x20,
  and: 0x54,
  jumpIfEqual: 0x15,
  jumpIfAtLeast: 0x35,
  answer: 0x06,
} as const;

/** Answers of a filter. */
export const SECCOMP = {
  allow: 0x7fff0000,
  errno: 0x00050000,
  killProcess: 0x80000000,
} as const;

/** The AUDIT_ARCH value of each processor. */
export const AUDIT_ARCH: Readonly<Record<SeccompArch, number>> = {
  x64: 0xc000003e,
  arm64: 0xc00000b7,
};

/** Offsets into struct seccomp_data; both processors are little-endian. */
const NUMBER_OFFSET = 0;
const ARCH_OFFSET = 4;
const ARGUMENTS_OFFSET = 16;
/** Set in the number of every x32 call. */
const X32_BIT = 0x40000000;
/** The number of a call that a tracer has skipped. */
const SKIPPED_CALL = 0xffffffff;

interface Instruction {
  readonly code: number;
  /** Instructions to skip when the comparison holds, and when it does not. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

const load = (k: number): Instruction => ({ code: BPF.loadWord, jt: 0, jf: 0, k });
const and = (k: number): Instruction => ({ code: BPF.and, jt: 0, jf: 0, k });
const equal = (k: number, jt: number, jf: number): Instruction => ({
  code: BPF.jumpIfEqual,
  jt,
  jf,
  k,
});
const atLeast = (k: number, jt: number, jf: number): Instruction => ({
  code: BPF.jumpIfAtLeast,
  jt,
  jf,
  k,
});
const answer = (k: number): Instruction => ({ code: BPF.answer, jt: 0, jf: 0, k });
const answerErrno = (name: ErrnoName): Instruction => answer(SECCOMP.errno + ERRNO[name]);

/** The node architecture as one the filter knows, or undefined. */
export function parseSeccompArch(arch: string): SeccompArch | undefined {
  return arch === "x64" || arch === "arm64" ? arch : undefined;
}

/** Assembles the filter in the kernel's binary form, 8 bytes an instruction. */
export function renderSeccompFilter(arch: SeccompArch, options: FilterOptions): Buffer {
  const program = [
    ...checkAbi(arch),
    ...REFUSED_CALLS.flatMap((call) => refuse(call.numbers[arch], call.errno)),
    ...judgedCalls(options).flatMap((call) => judge(call.numbers[arch], call.clauses)),
    answer(SECCOMP.allow),
  ];
  return encode(program);
}

function checkAbi(arch: SeccompArch): readonly Instruction[] {
  const native = [
    load(ARCH_OFFSET),
    equal(AUDIT_ARCH[arch], 1, 0),
    answer(SECCOMP.killProcess),
    load(NUMBER_OFFSET),
  ];
  if (arch !== "x64") return native;
  return [
    ...native,
    atLeast(X32_BIT, 0, 3),
    equal(SKIPPED_CALL, 0, 1),
    answerErrno("ENOSYS"),
    answer(SECCOMP.killProcess),
  ];
}

function refuse(number: number | undefined, errno: ErrnoName): readonly Instruction[] {
  return number === undefined ? [] : [equal(number, 0, 1), answerErrno(errno)];
}

/** The block ends in an answer on every path, so the number need not be loaded again behind it. */
function judge(number: number | undefined, clauses: JudgedCall["clauses"]): readonly Instruction[] {
  if (number === undefined) return [];
  const body = [...clauses.flatMap(renderClause), answer(SECCOMP.allow)];
  return [equal(number, 0, body.length), ...body];
}

function renderClause(clause: JudgedCall["clauses"][number]): readonly Instruction[] {
  let block: readonly Instruction[] = [answerErrno(clause.errno)];
  for (const test of clause.tests.toReversed())
    block = [...renderTest(test, block.length), ...block];
  return block;
}

/** Falls through when the test holds, else skips `rest` further instructions. */
function renderTest(test: ArgumentTest, rest: number): readonly Instruction[] {
  const offset = ARGUMENTS_OFFSET + 8 * test.argument + (test.word === "high" ? 4 : 0);
  const { values, isMember } = test;
  const comparisons = values.map((value, index) => {
    const after = values.length - 1 - index;
    const whenEqual = isMember ? after : after + rest;
    const whenNone = isMember ? rest : 0;
    return equal(value, whenEqual, after === 0 ? whenNone : 0);
  });
  return [load(offset), and(test.mask), ...comparisons];
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach((instruction, index) => {
    bytes.writeUInt16LE(instruction.code, index * 8);
    bytes.writeUInt8(instruction.jt, index * 8 + 2);
    bytes.writeUInt8(instruction.jf, index * 8 + 3);
    bytes.writeUInt32LE(instruction.k >>> 0, index * 8 + 4);
  });
  return bytes;
}
