# SPDX-License-Identifier: MIT
# Completion for bash: verbs, options, formats and option keys are read from the command's own help.

_cupool_verbs()
{
    "$1" --help 2>/dev/null | sed -n 's/^  \([a-z]\+\) .*/\1/p'
}

_cupool_formats()
{
    "$1" report --help 2>/dev/null | sed -n '/^Formats/,/^$/s/^  \([a-z]\+\) .*/\1/p'
}

_cupool_keys()
{
    "$1" options 2>/dev/null | sed -n '/^OPTION/,/^$/s/^\([a-z_]\+\) .*/\1/p'
}

_cupool_modes()
{
    "$1" options 2>/dev/null | sed -n '/^mode /{s/.* //;s/|/ /g;p;q}'
}

_cupool()
{
    local cur prev words cword
    _init_completion -s || return

    local verb=${words[1]} i
    if ((cword == 1)); then
        COMPREPLY=($(compgen -W "$(_cupool_verbs "$1") --help --version" -- "$cur"))
        return
    fi
    for ((i = 2; i < cword; i++)); do
        if [[ ${words[i]} == -- ]]; then
            _command_offset $((i + 1))
            return
        fi
    done
    case $prev in
        -f | --format)
            COMPREPLY=($(compgen -W "$(_cupool_formats "$1")" -- "$cur"))
            return ;;
        --mode)
            COMPREPLY=($(compgen -W "$(_cupool_modes "$1")" -- "$cur"))
            return ;;
        -p | --policy)
            COMPREPLY=($(compgen -W 'cupool mapped native pytorch expandable bfc rmm-pool async' -- "$cur"))
            return ;;
        --by)
            COMPREPLY=($(compgen -W 'site library size api phase' -- "$cur"))
            return ;;
        -O | --option)
            COMPREPLY=($(compgen -S : -W "$(_cupool_keys "$1")" -- "$cur"))
            compopt -o nospace
            return ;;
    esac
    if [[ $verb == help ]]; then
        COMPREPLY=($(compgen -W "$(_cupool_verbs "$1")" -- "$cur"))
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$(_parse_help "$1" "$verb --help")" -- "$cur"))
    else
        _filedir
    fi
} && complete -F _cupool cupool
