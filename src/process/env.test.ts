import { describe, expect, it } from "vitest";
import {
  HELPER_ENV,
  helperEnv,
  searchDirectories,
  TERMINAL_VARIABLES,
  terminalEnv,
} from "./env.ts";

describe("the environment of children", () => {
  it("is pinned", () => {
    expect(TERMINAL_VARIABLES).toEqual(["TERM", "COLORTERM", "LANG", "LC_*", "TZ", "NO_COLOR"]);
    expect(HELPER_ENV).toEqual({ LANG: "C.UTF-8" });
    expect(helperEnv("/usr/bin:/bin")).toEqual({ PATH: "/usr/bin:/bin", LANG: "C.UTF-8" });
  });

  it("takes of a terminal's variables only those of the list", () => {
    const passed = {
      TERM: "xterm",
      COLORTERM: "truecolor",
      LANG: "de_DE.UTF-8",
      LC_ALL: "C",
      LC_MESSAGES: "C",
      TZ: "UTC",
      NO_COLOR: "",
    };
    const kept = {
      LC_: "1",
      LC_x: "1",
      XLC_ALL: "1",
      TERMINFO: "/x",
      LANGUAGE: "de",
      HOME: "/root",
      PATH: "/bin",
      LD_PRELOAD: "/x.so",
      SSH_AUTH_SOCK: "/x",
      TERM_PROGRAM: "x",
    };
    expect(terminalEnv({ ...passed, ...kept, LC_TIME: undefined })).toEqual(passed);
    expect(terminalEnv({})).toEqual({});
  });

  it("has no way to the current directory", () => {
    expect(searchDirectories(":/usr/bin::.:bin:../x:/bin:")).toEqual(["/usr/bin", "/bin"]);
    expect(helperEnv("")).toEqual({ PATH: "", LANG: "C.UTF-8" });
  });
});
