"""Real commands that are killed at random moments, that share a folder, or whose disk is full: docs/reliability.md.

    python tests/faults/kills.py --kills 100 --seed 1 --out kills.json

Killed: kill -9 to the command's own process at a random moment of its time; 5 s later nothing that it started may live.
After some kills the command runs to its end: its results are those of an undisturbed one, and nothing else lies beside
them. Shared: the same command twice on one output. Full: the output on a tmpfs of some kB (Linux, as root).
Ends with status 1 where something of this does not hold.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from fuzz import commit
from kill_commands import ROOT, commands, uncovered, write_inputs

# Marks the processes that a command starts, whatever session they are in.
MARK = "CODAE_FAULT_MARK"
# Seconds that what a killed command started may live on.
PATIENCE = 5.0


def start(words, mark, path=None):
    """Start a command in a session of its own; path: a folder of programs in front of all others."""
    environment = {**os.environ, MARK: mark, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": ""}
    environment["PATH"] = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    command = [sys.executable, str(ROOT / "scripts" / words[0]), *map(str, words[1:])]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes)


def finish(words, path=None):
    """(status, stderr, seconds) of a command that nobody disturbs."""
    begun, process = time.time(), start(words, uuid.uuid4().hex, path)
    _, error = process.communicate()
    return process.returncode, error, time.time() - begun


def living(mark):
    """Processes that have the mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def listing(folder):
    """Names of everything in a folder, but of the chunks that a generation keeps on purpose."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_symlink())
    return sorted(name for name in names if ".work" not in name)


def kill_one(command, folder, moment):
    """Kill a command `moment` seconds after its start; what goes wrong, and whether it was still at work."""
    mark = uuid.uuid4().hex
    process = start(command.words(folder), mark, command.path)
    try:
        process.communicate(timeout=moment)
        return [], False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    begun = time.time()
    while (left := living(mark)) and time.time() - begun < PATIENCE:
        time.sleep(0.1)
    wrong = []
    for pid in left:
        wrong.append(f"{command.name} killed after {moment:.1f} s: process {pid} lives on after {PATIENCE:g} s")
        with_name = Path(f"/proc/{pid}/cmdline")
        if with_name.exists():
            wrong[-1] += f" ({with_name.read_bytes()[:120]!r})"
            os.kill(pid, signal.SIGKILL)
    process.communicate()
    return wrong, True


def killed(command, kills, rng, bench):
    """(kills that found it at work, what went wrong) of one command."""
    undisturbed = bench / "undisturbed" / command.name
    undisturbed.mkdir(parents=True)
    command.prepare(undisturbed)
    status, error, seconds = finish(command.words(undisturbed), command.path)
    if status:
        return 0, [f"{command.name} undisturbed: status {status}, {error[-400:]}"], seconds
    right, names, done, wrong = command.result(undisturbed), listing(undisturbed), 0, []
    while kills > 0:
        folder = Path(tempfile.mkdtemp(dir=bench))
        command.prepare(folder)
        for _ in range(min(command.together, kills)):
            kills -= 1
            worse, hit = kill_one(command, folder, float(rng.uniform(0.3, seconds)))
            done, wrong = done + hit, wrong + worse
        status, error, _ = finish(command.words(folder), command.path)
        if status:
            wrong.append(f"{command.name} after kills: status {status}, {error[-300:]}")
        elif (found := command.result(folder)) != right:
            wrong.append(f"{command.name} after kills: another result, {different(found, right)}")
        elif odd := sorted(set(listing(folder)) ^ set(names)):
            wrong.append(f"{command.name} after kills: left or missing {odd[:5]}")
        shutil.rmtree(folder)
        print(f"{command.name}: {kills} kills to go, {len(wrong)} wrong", *wrong[-1:], flush=True)
    return done, wrong, seconds


def different(found, right, where=""):
    """Where two results differ first."""
    if type(found) is type(right) and isinstance(found, dict):
        odd = next((key for key in (*right, *found) if found.get(key) != right.get(key)), None)
        return different(found.get(odd), right.get(odd), f"{where}/{odd}")
    return f"{where}: {str(found)[:80]} for {str(right)[:80]}"


def shared(command, bench):
    """The same command twice at once: both statuses, the refusal, and what went wrong."""
    folder = Path(tempfile.mkdtemp(dir=bench))
    command.prepare(folder)
    pair = [start(command.words(folder), uuid.uuid4().hex) for _ in range(2)]
    said = [process.communicate()[1] for process in pair]
    codes, wrong = [process.returncode for process in pair], []
    if 0 not in codes or not set(codes) <= {0, 2} or any("Traceback" in text for text in said):
        wrong.append(f"{command.name} twice at once: statuses {codes}, {[text[-200:] for text in said]}")
    elif command.result(folder) != command.result(bench / "undisturbed" / command.name):
        wrong.append(f"{command.name} twice at once: another result")
    refusals = [text.strip().splitlines()[-1][:200] for text, code in zip(said, codes, strict=True) if code == 2]
    return {"statuses": codes, "refusals": refusals}, wrong


def full(command, bench, size):
    """The command with its output on a disk of `size` kB: its status, its message, and what went wrong."""
    disk = Path(tempfile.mkdtemp(dir=bench))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)], check=False).returncode:
        return {"status": None, "said": "no tmpfs could be mounted"}, []
    try:
        command.prepare(disk)
        before = listing(disk)
        status, error, _ = finish(command.words(disk))
        after, wrong = listing(disk), []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    lines = [line for line in error.splitlines() if line.strip()]
    if status not in (0, 2) or (status == 2 and (len(lines) != 1 or len(lines[0]) > 520)):
        wrong.append(f"{command.name} on {size} kB: status {status}, {len(lines)} lines: {error[-400:]}")
    if status and after != before:
        wrong.append(f"{command.name} on {size} kB: left {sorted(set(after) ^ set(before))[:5]}")
    return {"kB": size, "status": status, "said": (lines or [""])[-1][:300]}, wrong


def main():
    """Kill, share and fill; print what was found, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of all commands together (default: 100)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="these commands alone")
    parser.add_argument("--kills-only", action="store_true", help="neither twice at once nor on a full disk")
    parser.add_argument("--out", type=Path, help="JSON of what was found")
    arguments = parser.parse_args()
    rng, table, wrong = np.random.default_rng(arguments.seed), {}, []
    with tempfile.TemporaryDirectory() as folder:
        bench = Path(folder)
        write_inputs(bench)
        status, error, _ = finish(["run_chain.py", "--config", bench / "tiny.toml", "--run", bench / "run"])
        if status:
            sys.exit(f"no run to work with: {error}")
        if left_out := uncovered():
            sys.exit(f"commands that nothing here starts: {', '.join(sorted(left_out))}")
        chosen = [c for c in commands(bench) if not arguments.only or c.name in arguments.only]
        for command in chosen:
            number = round(arguments.kills / len(chosen))
            done, worse, seconds = killed(command, number, rng, bench)
            row = {"kills": number, "at_work": done, "undisturbed_s": round(seconds, 1)}
            wrong += worse
            if command.more and not arguments.kills_only and (bench / "undisturbed" / command.name).exists():
                row["shared"], worse = shared(command, bench)
                found = [full(command, bench, size) for size in (4, 120)]
                row["full"] = [content for content, _ in found]
                wrong += worse + [line for _, lines in found for line in lines]
            table[command.name] = row
            print(command.name, row, *wrong, sep="\n  ", flush=True)
    if arguments.out:
        content = {"commit": commit(), "seed": arguments.seed, "commands": table, "wrong": wrong}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
