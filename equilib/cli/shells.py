"""Scripts by which shells complete: values hold colons, commas and equals signs, and a value follows its option."""

from __future__ import annotations

import os

from click import shell_completion as click_shells

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' type value response
    response=$(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value"); [[ $value == *= ]] && compopt -o nospace ;;
        esac
    done <<< "$response"
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_PLAIN = "compadd -U -V unsorted -a completions"
_OPEN = """\
compadd -U -V unsorted -- ${completions:#*=}
        compadd -U -V unsorted -S '' -- ${(M)completions:#*=}"""


class Bash(click_shells.BashComplete):
    """Completion of whole words, of which bash, which ends a word at each ':' and '=', is given the last piece."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the complete words of the line up to the cursor, and the word at the cursor."""
        line = os.environ["COMP_WORDS"]
        words = click_shells.split_arg_string(line)
        incomplete = words.pop() if words and not line[-1:].isspace() else ""
        return words[1:], incomplete

    def complete(self) -> str:
        """Return a line for each completion: its type, and what stands in the place of the last piece of the word."""
        args, incomplete = self.get_completion_args()
        found = self.get_completions(args, incomplete)
        if incomplete.startswith("-"):  # --flag=value, of which completions are values
            incomplete = incomplete.partition("=")[2]
        breaks = [each for each in ":=" if each in os.environ.get("COMP_WORDBREAKS", ":=")]
        whole = incomplete[: max((incomplete.rfind(each) + 1 for each in breaks), default=0)]
        return "\n".join(f"{each.type},{each.value.removeprefix(whole)}" for each in found)


class Zsh(click_shells.ZshComplete):
    """Completion that lets the value of an option follow its '=' at once."""

    source_template = click_shells.ZshComplete.source_template.replace(_PLAIN, _OPEN)


class Fish(click_shells.FishComplete):
    """Completion of values with commas in them."""

    source_template = click_shells.FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')
