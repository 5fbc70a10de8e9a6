"""``completion``: prints the script with which bash, zsh or fish completes command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Iterator

    from bandersnatch.cli.invocation import Invocation
    from bandersnatch.cli.syntax import Flag, Syntax, Value

_SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the argument of ``completion``."""
    parser.add_argument("shell", choices=_SHELLS, help="the shell")


def run(invocation: Invocation) -> int:
    """Run ``completion``."""
    from bandersnatch.cli.syntax import read_syntax

    render = {"bash": _bash, "zsh": _zsh, "fish": _fish}[invocation.arguments.shell]
    return invocation.answer("\n".join(render(read_syntax())))


# ---------------------------------------------------------------- bash

_BASH = """\
# Completion of bandersnatch for bash 4.4 or newer, printed by: bandersnatch completion bash
_bandersnatch() {
    local cur=${COMP_WORDS[COMP_CWORD]} command=bandersnatch value='' flags='' values='' word kind
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
        =) ;;
        *)
            if [[ $value ]]; then
                value=''
            elif [[ $word == -* ]]; then
                _bandersnatch_value "$command" "$word"
            elif _bandersnatch_is_command "$command $word"; then
                command="$command $word"
            fi
            ;;
        esac
    done
    [[ $cur == = ]] && cur=''
    _bandersnatch_arguments "$command"
    COMPREPLY=()
    kind=$values
    if [[ $value ]]; then
        kind=$value
    elif [[ $cur == -* ]]; then
        kind=$flags
    fi
    case $kind in
    '<file>') mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    '<directory>') mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    '<text>' | '') ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$cur") ;;
    esac
    case $kind in
    '<file>' | '<directory>') compopt -o filenames 2> /dev/null ;;
    esac
}
"""


def _bash(syntax: Syntax) -> Iterator[str]:
    """Yield a function of bash that completes by tables of commands, flags and values.

    COMP_WORDS has ``=`` as a word of its own, so ``--flag=value`` is three words.
    """
    yield _BASH
    yield "_bandersnatch_is_command() {"
    yield "    case $1 in"
    yield f"    {' | '.join(_quoted(_call(each)) for each in syntax.walk()[1:])}) ;;"
    yield "    *) return 1 ;;\n    esac\n}\n"
    yield "_bandersnatch_value() {"
    yield '    case "$1 $2" in'
    for each in syntax.walk():
        for flag in each.flags:
            if flag.value:
                names = " | ".join(_quoted(f"{_call(each)} {name}") for name in flag.spellings)
                yield f"    {names}) value={_quoted(_bash_words(flag.value))} ;;"
    yield "    esac\n}\n"
    yield "_bandersnatch_arguments() {"
    yield "    case $1 in"
    for each in syntax.walk():
        flags = " ".join(name for flag in each.flags for name in flag.spellings)
        inner = " ".join(command.name for command in each.commands)
        words = inner or next((_bash_words(found.value) for found in each.arguments), "")
        yield f"    {_quoted(_call(each))})"
        yield f"        flags={_quoted(flags)} values={_quoted(words)} ;;"
    yield "    esac\n}\n"
    yield "complete -F _bandersnatch bandersnatch"


def _bash_words(value: Value) -> str:
    from bandersnatch.cli.syntax import ValueKind

    kinds = {
        ValueKind.FILE: "<file>",
        ValueKind.DIRECTORY: "<directory>",
        ValueKind.TEXT: "<text>",
    }
    return kinds.get(value.kind) or " ".join(value.choices)


# ---------------------------------------------------------------- zsh


def _zsh(syntax: Syntax) -> Iterator[str]:
    """Yield a function of zsh for each command; the first calls those of its commands."""
    yield "#compdef bandersnatch"
    yield "# Completion of bandersnatch for zsh, printed by: bandersnatch completion zsh\n"
    for each in syntax.walk():
        yield from _zsh_group(each) if each.commands else _zsh_command(each)
        yield "}\n"
    yield "if [[ $funcstack[1] == _bandersnatch ]]; then"
    yield '    _bandersnatch "$@"'
    yield "else"
    yield "    compdef _bandersnatch bandersnatch"
    yield "fi"


def _zsh_group(syntax: Syntax) -> Iterator[str]:
    yield f"{_function(syntax)}() {{"
    yield '    local curcontext="$curcontext" state line ret=1'
    yield "    typeset -A opt_args"
    yield "    local -a commands"
    yield "    commands=("
    for each in syntax.commands:
        yield f"        {_quoted(f'{each.name}:{each.help}')}"
    yield "    )"
    specs = [*map(_zsh_flag, syntax.flags), "'1: :->command'", "'*:: :->arguments'"]
    yield _continued("    _arguments -C", specs, " && ret=0")
    yield "    case $state in"
    yield "    command) _describe command commands && ret=0 ;;"
    yield "    arguments)"
    yield "        case $words[1] in"
    for each in syntax.commands:
        yield f"        {each.name}) {_function(each)} && ret=0 ;;"
    yield "        esac ;;\n    esac\n    return ret"


def _zsh_command(syntax: Syntax) -> Iterator[str]:
    yield f"{_function(syntax)}() {{"
    specs = list(map(_zsh_flag, syntax.flags))
    for place, each in enumerate(syntax.arguments, start=1):
        start = "*" if each.is_repeatable else str(place) if each.is_required else f"{place}:"
        specs.append(_quoted(f"{start}{_zsh_value(each.value)}"))
    yield _continued("    _arguments", specs, "")


def _zsh_flag(flag: Flag) -> str:
    """Return the specification of a flag; all its spellings exclude each other."""
    text = flag.help
    for special in "\\[]":
        text = text.replace(special, f"\\{special}")
    value = _zsh_value(flag.value) if flag.value else ""
    others = "" if flag.is_repeatable else f"({' '.join(flag.spellings)})"
    start = "*" if flag.is_repeatable else ""
    specs = []
    for name in flag.spellings:
        equals = "=" if value and name.startswith("--") else ""
        specs.append(_quoted(f"{others}{start}{name}{equals}[{text}]{value}"))
    return " ".join(specs)


def _zsh_value(value: Value) -> str:
    from bandersnatch.cli.syntax import ValueKind

    name = value.name.replace(":", "\\:")
    actions = {
        ValueKind.FILE: "_files",
        ValueKind.DIRECTORY: "_files -/",
        ValueKind.CHOICE: f"({' '.join(value.choices)})",
        # The name is shown, but not where a flag begins, which could not be inserted beside it.
        ValueKind.TEXT: f'_guard "^-*" "{name}"',
    }
    return f":{name}:{actions[value.kind]}"


def _continued(start: str, specs: Iterable[str], end: str) -> str:
    return " \\\n        ".join([start, *specs]) + end


def _function(syntax: Syntax) -> str:
    return "_" + "_".join(word.replace("-", "_") for word in syntax.words)


# ---------------------------------------------------------------- fish

_FISH = """\
# Completion of bandersnatch for fish, printed by: bandersnatch completion fish
function __bandersnatch_command
    # Whether the words before the cursor are of this command: its words, then flags and values.
    set -l wanted $argv
    set -l is_value 0
    for word in (commandline -opc)[2..-1]
        if test $is_value = 1
            set is_value 0
            continue
        end
        switch $word
            case -c --config
                set is_value 1
            case '-*'
            case '*'
                if test (count $wanted) = 0
                    # A further word is a value, or a command of its own.
                    not contains -- "$argv $word" $__bandersnatch_commands
                    return
                end
                test $word = $wanted[1]; or return 1
                set -e wanted[1]
        end
    end
    test (count $wanted) = 0
end
"""


def _fish(syntax: Syntax) -> Iterator[str]:
    """Yield a ``complete`` of fish for each command, flag and choice."""
    yield _FISH
    inner = [_quoted(" ".join(each.words[1:])) for each in syntax.walk()[1:]]
    top = [f"' {each.name}'" for each in syntax.commands]
    yield f"set -g __bandersnatch_commands {' '.join([*top, *inner])}"
    yield "complete -c bandersnatch -f"
    for each in syntax.walk():
        condition = " ".join(("__bandersnatch_command", *each.words[1:]))
        start = f"complete -c bandersnatch -n '{condition}'"
        for command in each.commands:
            yield f"{start} -a {command.name} -d {_fish_quoted(command.help)}"
        for flag in each.flags:
            yield f"{start} {_fish_flag(flag)} -d {_fish_quoted(flag.help)}"
        for argument in each.arguments:
            yield f"{start}{_fish_value(argument.value)} -d {_fish_quoted(argument.help)}"


def _fish_flag(flag: Flag) -> str:
    names = [f"-l {name[2:]}" for name in flag.spellings if name.startswith("--")]
    names += [f"-s {name[1:]}" for name in flag.spellings if not name.startswith("--")]
    return " ".join(names) + (f" -r{_fish_value(flag.value)}" if flag.value else "")


def _fish_value(value: Value) -> str:
    from bandersnatch.cli.syntax import ValueKind

    actions = {
        ValueKind.FILE: " -F",
        ValueKind.DIRECTORY: " -f -a '(__fish_complete_directories)'",
        ValueKind.CHOICE: f" -f -a '{' '.join(value.choices)}'",
        ValueKind.TEXT: " -f",
    }
    return actions[value.kind]


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


# ---------------------------------------------------------------- all


def _call(syntax: Syntax) -> str:
    return " ".join(syntax.words)


def _quoted(text: str) -> str:
    """Return a word of bash and zsh that nothing in it can end."""
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"
