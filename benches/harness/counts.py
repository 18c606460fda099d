"""Counts the instructions of the hot paths under callgrind and compares them with the committed baseline.

Counts do not depend on what else the machine does, so a change of a few percent shows, which no clock here would show.
What is counted is a repetition of each workload of benches/src/workloads; setting up and warming up are not in there.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

from .failure import Failure
from .options import add_outputs
from .outcome import Outcome
from .table import Table

SUMMARY = "instructions of the hot paths under callgrind, against the baseline"
BASELINE = "benches/counts.toml"
CHANGE_MAX = 0.10
# More than counts of the same program ever differ by, and less than any change of it that matters.
CHANGE_SHOWN = 0.005
SECONDS_MAX = 600
REGION = "counted_region"
UPDATE = "scripts/bench counts --update"
# The kinds of instructions that libraries choose their code by at run time, as far as callgrind knows them.
CPU_FLAGS = ("avx2", "sse4_2", "asimd")

EPILOG = f"""\
examples:
  scripts/bench counts                     exit status 1 if a workload takes 10% more or less than the baseline says
  scripts/bench counts --filter fan-out    only those whose names hold this
  {UPDATE}            makes what is counted now the baseline: commit it with what caused the change

A count that fell by more than 10% fails too: the baseline would hide as large a rise later on.
"""

HEADING = f"""\
# Instructions of one repetition of each workload under callgrind. Written by `{UPDATE}`.
# They depend on the compiler and on the kinds of instructions that the CPU has; others are not compared.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--update", action="store_true", help=f"write {BASELINE} anew instead of comparing")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only workloads whose names hold this")
    add_outputs(parser)


def run(options: argparse.Namespace, root: Path) -> Outcome:
    if shutil.which("valgrind") is None:
        raise Failure("there is no valgrind: `scripts/test tools` installs it, or `apt-get install valgrind`")
    if options.update and options.filter:
        raise Failure("--update writes the whole baseline: leave out --filter")
    counts = _count(root, _build(root), options.filter)
    if options.update:
        _write_baseline(root, counts)
    baseline = _baseline(root)
    known = {name: count for name, count in baseline["counts"].items() if options.filter in name}
    outcome = _compare(known, counts)
    here = _environment(root)
    if here != baseline["environment"] and not options.update:
        # Another compiler or CPU counts otherwise, whatever the code does.
        outcome.invalid = False
        outcome.words = [
            f"NOT COMPARED: the baseline was counted with {_in_words(baseline['environment'])}, this with "
            f"{_in_words(here)}. `{UPDATE}` makes a baseline for this."
        ]
    outcome.document["environment"] = here
    return outcome


def _build(root: Path) -> Path:
    target = root / os.environ.get("CARGO_TARGET_DIR", "target")
    words = ["cargo", "build", "--quiet", "--profile", "counts", "-p", "ringmain-benches", "--bin", "counts"]
    if subprocess.run(words, cwd=root).returncode:
        raise Failure(f"`{' '.join(words)}` failed")
    return target / "counts/counts"


def _count(root: Path, program: Path, filter_: str) -> dict[str, int]:
    """Instructions of one repetition, by workload."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "--collect-atstart=no"]
        words += [f"--toggle-collect={REGION}", f"--dump-after={REGION}", str(program), filter_]
        try:
            process = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failure(f"callgrind was not done after {SECONDS_MAX} s: try --filter") from None
        if process.returncode:
            lines = process.stderr.strip().splitlines()
            raise Failure(f"the workloads failed under callgrind: {' / '.join(lines[-5:])}")
        repetitions = [line.split() for line in process.stdout.splitlines()]
        totals = [_total(Path(f"{folder}/out.{index}")) for index in range(1, len(repetitions) + 1)]
    return {name: round(total / int(count)) for (name, count), total in zip(repetitions, totals)}


def _total(path: Path) -> int:
    try:
        found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.MULTILINE)
    except FileNotFoundError:
        found = None
    if not found or not int(found[1]):
        raise Failure(f"callgrind counted nothing in {REGION}: was it inlined, or renamed?")
    return int(found[1])


def _environment(root: Path) -> dict[str, str]:
    compiler = subprocess.run(["rustc", "--version"], cwd=root, capture_output=True, text=True).stdout.strip()
    text = Path("/proc/cpuinfo").read_text()
    flags = {flag for line in text.splitlines() if line.startswith(("flags", "Features")) for flag in line.split()}
    known = [flag for flag in CPU_FLAGS if flag in flags]
    return {"compiler": compiler, "cpu": " ".join([platform.machine(), *known])}


def _in_words(environment: dict[str, str]) -> str:
    return f"{environment.get('compiler')} on {environment.get('cpu')}"


def _baseline(root: Path) -> dict:
    try:
        baseline = tomllib.loads((root / BASELINE).read_text())
        return {"environment": dict(baseline["environment"]), "counts": dict(baseline["counts"])}
    except FileNotFoundError:
        raise Failure(f"there is no {BASELINE}: make it with `{UPDATE}`") from None
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise Failure(f"{BASELINE} cannot be read ({error}): make it anew with `{UPDATE}`") from None


def _write_baseline(root: Path, counts: dict[str, int]) -> None:
    lines = [HEADING, "[environment]"]
    lines += [f'{name} = "{value}"' for name, value in _environment(root).items()]
    lines += ["", "[counts]", *(f'"{name}" = {count}' for name, count in counts.items()), ""]
    (root / BASELINE).write_text("\n".join(lines))


def _compare(baseline: dict[str, int], counts: dict[str, int]) -> Outcome:
    table = Table(
        "Instructions of one repetition",
        ("workload", "baseline", "now", "change", "verdict"),
        frozenset({"workload", "verdict"}),
    )
    outcome = Outcome(tables=[table], document={"counts": counts, "baseline": baseline})
    bad = 0
    for name in dict.fromkeys([*counts, *baseline]):
        before, now = baseline.get(name), counts.get(name)
        if before is None or now is None:
            verdict, change = "NOT IN THE BASELINE" if before is None else "GONE", ""
        else:
            more = now - before
            change = f"{more / before:+.1%}" if abs(more) >= CHANGE_SHOWN * before else "same"
            verdict = "" if abs(more) <= CHANGE_MAX * before else "TOO MUCH MORE" if more > 0 else "much less"
        bad += bool(verdict)
        table.add(name, *("-" if count is None else f"{count:,}" for count in (before, now)), change, verdict)
    if bad:
        outcome.invalid = True
        outcome.words = [
            f"{bad} of {len(table.rows)} workloads differ from {BASELINE} by more than {CHANGE_MAX:.0%}. If that is as "
            f"it should be, run `{UPDATE}` and commit it with what caused it."
        ]
    else:
        outcome.words = [f"All {len(table.rows)} workloads are within {CHANGE_MAX:.0%} of {BASELINE}."]
    return outcome
