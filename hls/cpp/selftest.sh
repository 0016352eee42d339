#!/bin/sh
# Compiles the emulator and checks the golden vectors and all checksums: sh selftest.sh
# CXX: a compiler, with options where it needs some; else g++, else clang++.
set -e
cd "$(dirname "$0")"
sha256sum --check --quiet SHA256SUMS
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
command -v g++ > /dev/null || : "${CXX:=clang++}"
for source in emulator/*.cpp cmssw/*.cpp; do
    # Unquoted: CXX may be more than one word.
    ${CXX:-g++} -std=c++17 -O2 -fPIC -fvisibility=hidden -iquote emulator -c "$source" -o "$built/${source##*/}.o"
done
cd "$built"
${CXX:-g++} selftest.cpp.o @NAMESPACE@.cpp.o @NAMESPACE@_pooling.cpp.o -o selftest
${CXX:-g++} -shared @NAMESPACE@_model.cpp.o @NAMESPACE@.cpp.o -o @NAMESPACE@.so
${CXX:-g++} @NAMESPACE@_host.cpp.o -o host -ldl
cd "$OLDPWD"
"$built/selftest" vectors
"$built/host" "$built/@NAMESPACE@" vectors
