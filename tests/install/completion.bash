# SPDX-License-Identifier: MIT
# Prints what bash would offer for the last word. usage: completion.bash FILE COMMAND [WORD...]
source /usr/share/bash-completion/bash_completion
source "$1"
shift
compopt() { :; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE=$*
COMP_POINT=${#COMP_LINE}
_cupool "$1" "${@: -1}" "${@: -2:1}"
printf '%s\n' "${COMPREPLY[@]}"
