"""What all commands of the harness take, and the check that it can work."""

import argparse
import os
import resource
from pathlib import Path

from . import servers
from .failure import Failure

LOAD = "target/release/ringmain-load"


def add_common(parser: argparse.ArgumentParser) -> None:
    """Programs, cores and outputs."""
    parser.add_argument("--engine", metavar="COMMAND", help=f"another engine (default: {servers.ENGINE})")
    parser.add_argument("--load", metavar="BINARY", default=LOAD, help="another load generator (default: %(default)s)")
    parser.add_argument("--server-cpu", type=int, default=0, help="the servers' core (default 0)")
    parser.add_argument("--load-cpu", type=int, default=1, help="the load generator's core (default 1)")
    add_outputs(parser)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Where the result goes, beside standard output."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="write this command's section of that file, such as benches/RESULTS.md",
    )


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: give a number above 0")
    return value


def count(text: str) -> int:
    """A whole number of 1 or more, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: give 1 or more")
    return value


def prepare(options: argparse.Namespace, root: Path) -> None:
    """Checks cores and load generator, and makes room for descriptors in whatever is started from here."""
    missing_cpus = {options.server_cpu, options.load_cpu} - os.sched_getaffinity(0)
    if missing_cpus or options.server_cpu == options.load_cpu:
        raise Failure("two different cores are needed, of those this process may use: see --server-cpu and --load-cpu")
    if not (root / options.load).exists():
        raise Failure(f"there is no {options.load}: run `cargo build --release -p ringmain-loadgen`")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
