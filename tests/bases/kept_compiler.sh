#!/bin/bash
# kept_compiler.sh FOLDER COMPILER ARGUMENT ...: call the compiler, and keep what it makes of one source (-c) in FOLDER.
# The same source after preprocessing, with the same flags, is not compiled again: Verilator's runtime, above all.
kept=$1 compiler=$2
shift 2
source="" object="" flags=() rest=()
while (($#)); do
    case $1 in
    -c) source=$2; rest+=("$1" "$2"); shift ;;
    -o) object=$2; shift ;;
    -O* | -f* | -std=* | -m* | -g* | -p*) flags+=("$1"); rest+=("$1") ;;
    *) rest+=("$1") ;;
    esac
    shift
done
call=("$compiler" "${rest[@]}" ${object:+-o "$object"})
if [ -z "$source" ] || [ -z "$object" ]; then exec "${call[@]}"; fi
key=$({ echo "$compiler ${flags[*]} $source"; "$compiler" "${rest[@]}" -E -P 2>/dev/null || echo "$$"; } | sha256sum)
found=$kept/${key%% *}.o
if [ -f "$found" ]; then exec cp "$found" "$object"; fi
"${call[@]}" || exit
cp "$object" "$found.$$" && mv "$found.$$" "$found"
