#!/usr/bin/env bash
# Pythia 8.317 (pythia8mc 8.317.2, SoftQCD:singleDiffractive and doubleDiffractive at 13.6 TeV): info.pTHat() of a
# diffractive event is not the transverse momentum of its hardest parton scattering, but that of the scattered proton,
# below a few GeV. The partons of scatterings inside the diffractive system (status 23 and 33 in the record) reach
# 25 GeV. Who removes hard scatterings from a soft sample by pTHat, in order to add a hard sample above the cut, keeps
# them and counts them twice.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: python3 (3.10 to 3.13, Linux x86_64) with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: pythia8mc==8.317.2 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }
"$folder/env/bin/python" - <<'PYTHON'
import sys

import pythia8mc

pythia = pythia8mc.Pythia("", False)
settings = ["Print:quiet = on", "Random:setSeed = on", "Random:seed = 5", "Beams:eCM = 13600."]
settings += ["SoftQCD:singleDiffractive = on", "SoftQCD:doubleDiffractive = on"]
for line in settings:
    pythia.readString(line)
pythia.init()
hard, reported_low, largest = 0, 0, (0.0, 0.0)
for _ in range(6000):
    pythia.next()
    event = pythia.event
    outgoing = [event[i].pT() for i in range(event.size()) if event[i].statusAbs() in (23, 33)]
    scattering, reported = max(outgoing, default=0.0), pythia.infoPython().pTHat()
    if scattering > 10:
        hard += 1
        reported_low += reported < 5
    largest = max(largest, (scattering, reported))
print(f"pythia8mc {pythia8mc.__version__ if hasattr(pythia8mc, '__version__') else '8.317.2'}, 6000 diffractive events:")
print(f"{hard} have a parton scattering above 10 GeV, {reported_low} of these report a pTHat below 5 GeV;")
print(f"the hardest scattering has {largest[0]:.1f} GeV and is reported as {largest[1]:.2f} GeV")
if hard >= 20 and reported_low > 0.9 * hard:
    print("as described")
else:
    print("CHANGED")
    sys.exit(1)
PYTHON
