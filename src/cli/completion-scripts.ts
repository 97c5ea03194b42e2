/** Completion scripts for bash, zsh and fish. Commands and flags are written into them; names are asked for at the key press. */
import type {
  CompletedArgument,
  CompletedCommand,
  CompletedFlag,
  Values,
} from "./completion-model.ts";

/** Renders the script of one shell. */
export type RenderScript = (commands: readonly CompletedCommand[]) => string;

/** A word in single quotes, for any of the three shells; our own texts hold no backslash. */
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const askNames = (of: string): string => `bot-bottle __complete ${of} 2>/dev/null`;

const flagWords = (flags: readonly CompletedFlag[]): string[] =>
  flags.flatMap(({ name, short }) => [`--${name}`, ...(short === undefined ? [] : [`-${short}`])]);

/** For bash 3.2 and later, as macOS has it. */
export const renderBash: RenderScript = (
  commands,
) => `# bash completion for bot-bottle: source it, or put it into the completions directory
_bot_bottle() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]}
  local flags='' valued='' words='' word position=0 i
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W ${quote([...commands.map((it) => it.name), "--help", "--version"].join(" "))} -- "$cur"))
    return
  fi
  case $command in
${commands.map(bashFlags).join("\n")}
  esac
  for ((i = 2; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case $word in
      --) return ;;
      -*) case " $valued " in *" $word "*) i=$((i + 1)) ;; esac ;;
      *) position=$((position + 1)) ;;
    esac
  done
  case "$command $prev" in
${commands.flatMap(bashFlagValues).join("\n")}
    *)
      case " $valued " in *" $prev "*) return ;; esac
      case $cur in
        -*) words=$flags ;;
        *)
          case "$command $position" in
${commands.flatMap(bashArguments).join("\n")}
          esac ;;
      esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _bot_bottle bot-bottle
`;

function bashFlags({ name, flags }: CompletedCommand): string {
  const valued = flags.filter((flag) => flag.value !== undefined);
  return `    ${name}) flags=${quote(flagWords(flags).join(" "))} valued=${quote(flagWords(valued).join(" "))} ;;`;
}

function bashFlagValues({ name, flags }: CompletedCommand): string[] {
  return flags.flatMap((flag) => {
    const words = flag.value === undefined ? undefined : bashWords(flag.value);
    if (words === undefined) return [];
    const patterns = flagWords([flag]).map((word) => quote(`${name} ${word}`));
    return [`    ${patterns.join(" | ")}) words=${words} ;;`];
  });
}

function bashArguments({ name, args }: CompletedCommand): string[] {
  return args.flatMap((arg, index) => {
    const words = bashWords(arg.values);
    if (words === undefined) return [];
    const pattern = arg.isVariadic ? `${quote(`${name} `)}*` : quote(`${name} ${index}`);
    return [`            ${pattern}) words=${words} ;;`];
  });
}

function bashWords(values: Values): string | undefined {
  if (values.kind === "words") return quote(values.words.join(" "));
  return values.kind === "names" ? `$(${askNames(values.of)})` : undefined;
}

/** For zsh: to be sourced after compinit, or put into a directory of fpath as \`_bot-bottle\`. */
export const renderZsh: RenderScript = (commands) => `#compdef bot-bottle
# zsh completion for bot-bottle: source it after compinit, or save it as _bot-bottle in a directory of fpath
_bot_bottle_names() {
  local -a names
  names=(\${(f)"$(bot-bottle __complete $1 2>/dev/null)"})
  compadd -a names
}
_bot_bottle() {
  local -a commands
  if (( CURRENT == 2 )); then
    commands=(
${commands.map(({ name, summary }) => `      ${quote(`${name}:${summary}`)}`).join("\n")}
    )
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${commands.map(zshCommand).join("\n")}
  esac
}
if [[ $funcstack[1] == _bot_bottle || $funcstack[1] == _bot-bottle ]]; then
  _bot_bottle "$@"
else
  compdef _bot_bottle bot-bottle
fi
`;

function zshCommand({ name, flags, args }: CompletedCommand): string {
  const specs = [...flags.flatMap(zshFlag), ...args.map(zshArgument)];
  return `    ${name})\n      _arguments \\\n${specs.map((spec) => `        ${quote(spec)}`).join(" \\\n")} ;;`;
}

/** Brackets and colons are syntax in a specification. */
const zshText = (text: string): string => text.replace(/[[\]:]/g, "\\$&");

function zshFlag(flag: CompletedFlag): string[] {
  const prefix = flag.isRepeatable ? "*" : "";
  const value = flag.value === undefined ? "" : `:${flag.name}:${zshAction(flag.value)}`;
  return flagWords([flag]).map((word) => `${prefix}${word}[${zshText(flag.summary)}]${value}`);
}

function zshArgument(arg: CompletedArgument, index: number): string {
  return `${arg.isVariadic ? "*" : index + 1}:${arg.name}:${zshAction(arg.values)}`;
}

function zshAction(values: Values): string {
  if (values.kind === "words") return `(${values.words.join(" ")})`;
  if (values.kind === "names") return `_bot_bottle_names ${values.of}`;
  return values.kind === "files" ? "_files" : " ";
}

/** For fish: to be saved as \`bot-bottle.fish\` in a completions directory. */
export const renderFish: RenderScript = (commands) =>
  [
    "# fish completion for bot-bottle: save it as ~/.config/fish/completions/bot-bottle.fish",
    "complete -c bot-bottle -f",
    ...commands.map(
      ({ name, summary }) =>
        `complete -c bot-bottle -n __fish_use_subcommand -a ${name} -d ${fishQuote(summary)}`,
    ),
    ...commands.flatMap(fishCommand),
    "",
  ].join("\n");

/** Fish knows both escapes inside single quotes. */
const fishQuote = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;

function fishCommand({ name, flags, args }: CompletedCommand): string[] {
  const head = `complete -c bot-bottle -n '__fish_seen_subcommand_from ${name}'`;
  return [
    ...flags.map((flag) => `${head} ${fishFlag(flag)} -d ${fishQuote(flag.summary)}`),
    ...args.flatMap(({ values }) => {
      const words = fishValues(values);
      return words === "" ? [] : [`${head} ${words}`];
    }),
  ];
}

function fishFlag({ name, short, value }: CompletedFlag): string {
  const names = `-l ${name}${short === undefined ? "" : ` -s ${short}`}`;
  if (value === undefined) return names;
  const isFixed = value.kind === "words" || value.kind === "names";
  return `${names} ${isFixed ? "-x" : "-r"} ${fishValues(value)}`.trim();
}

function fishValues(values: Values): string {
  if (values.kind === "words") return `-a ${fishQuote(values.words.join(" "))}`;
  if (values.kind === "names") return `-a '(${askNames(values.of)})'`;
  return values.kind === "files" ? "-F" : "";
}
