/** The one place that quotes for a shell; everywhere else programs get argv arrays. */

/** Quotes one argument for a POSIX shell: the shell hands the same bytes on, whatever they are. */
export function quoteShell(arg: string): string {
  return `'${arg.replaceAll("'", "'\\''")}'`;
}
