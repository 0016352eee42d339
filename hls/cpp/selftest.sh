#!/bin/sh
# Compiles the emulator and checks the golden vectors and all checksums: sh selftest.sh
set -e
cd "$(dirname "$0")"
sha256sum --check --quiet SHA256SUMS
program=$(mktemp)
trap 'rm -f "$program"' EXIT
"${CXX:-g++}" -std=c++17 -O2 emulator/*.cpp -o "$program"
"$program" vectors
