#!/bin/sh
# Compiles the emulator and checks the golden vectors and all checksums: sh selftest.sh
# CXX: a compiler, with options where it needs some; else g++, else clang++.
set -e
cd "$(dirname "$0")"
sha256sum --check --quiet SHA256SUMS
program=$(mktemp)
trap 'rm -f "$program"' EXIT
command -v g++ > /dev/null || : "${CXX:=clang++}"
# Unquoted: CXX may be more than one word.
${CXX:-g++} -std=c++17 -O2 emulator/*.cpp -o "$program"
"$program" vectors
