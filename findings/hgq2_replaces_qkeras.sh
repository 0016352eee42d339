#!/usr/bin/env bash
# hgq2 0.2.0 and qkeras-v3 1.2.1, the two quantization-aware training packages that hls4ml reads, both install a
# top-level package `qkeras`. Installed one after the other in one environment, pip writes hgq2's files over those of
# qkeras-v3 and says nothing. Uninstalling hgq2 afterwards removes the shared files, so qkeras-v3 is broken although
# `pip list` still shows it. Whoever installs both to compare two ways of training has one of them only.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: python3 (3.11 to 3.13) with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
python="$folder/env/bin/python"
install() { "$python" -m pip install --quiet --disable-pip-version-check --no-deps "$1" 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }; }
sum() { cat "$folder"/env/lib/python3*/site-packages/qkeras/__init__.py 2>/dev/null | sha256sum | cut -c1-12; }

install qkeras-v3==1.2.1
before=$(sum)
install hgq2==0.2.0
after=$(sum)
said=$(grep -c qkeras "$folder/pip.log" || true)
"$python" -m pip uninstall --quiet --yes hgq2
left=$([ -e "$(echo "$folder"/env/lib/python3*/site-packages)/qkeras/__init__.py" ] && sum || echo gone)
listed=$("$python" -m pip list --disable-pip-version-check 2>/dev/null | grep -c "^qkeras-v3 " || true)
echo "qkeras/__init__.py: $before with qkeras-v3 1.2.1, $after once hgq2 0.2.0 is installed, $left once hgq2 is removed"
echo "lines of pip that name qkeras while hgq2 is installed: $said; pip list still shows qkeras-v3 afterwards: $listed"
if [ -n "$before" ] && [ "$before" != "$after" ] && [ ! -e "$(echo "$folder"/env/lib/python3*/site-packages)/qkeras/__init__.py" ] && [ "$listed" = 1 ] && [ "$said" = 0 ]; then
    echo "as described"
else
    echo "CHANGED"
    exit 1
fi
