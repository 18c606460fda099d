"""The command line."""

import argparse
import signal
import sys
from pathlib import Path

from . import cluster, compare, counts, fairness, generator, idle, million, shards, slow, tls
from .failure import Failure
from .outcome import conditions, say, write_json, write_markdown

COMMANDS = {
    "compare": compare,
    "idle": idle,
    "fairness": fairness,
    "slow": slow,
    "tls": tls,
    "shards": shards,
    "load": generator,
    "million": million,
    "cluster": cluster,
    "counts": counts,
}

EPILOG = """\
examples:
  scripts/bench                          compare: engine, floor and peers, 5 rounds
  scripts/bench --quick                  the same, once and briefly: within five minutes
  scripts/bench idle --connections 20000
  scripts/bench compare --help           what a command takes; without one, compare is meant

exit status: 0 done; 1 interrupted, a run failed, a figure misses what is wanted, or messages were lost, duplicated,
reordered or corrupt; 2 cannot begin
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures the engine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.__doc__,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
    return parser


def _with_command(words: list[str]) -> list[str]:
    """Whoever names no command means `compare`."""
    names_command = words and (words[0] in COMMANDS or not words[0].startswith("-") or words[0] in ("-h", "--help"))
    return words if names_command else ["compare", *words]


def main(root: Path, words: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(_with_command(sys.argv[1:] if words is None else words))
    # Like Ctrl-C, so that whatever runs is stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    facts = conditions(root)
    try:
        outcome = COMMANDS[options.command].run(options, root)
        print(outcome.text())
        print(f"\n{facts['cpu']}, {facts['cores_and_memory']}, {facts['kernel']}, {facts['commit']}, {facts['at']}")
        if options.json:
            write_json(options.json, outcome, facts)
        if options.markdown:
            write_markdown(options.markdown, options.command, outcome, facts)
    except Failure as failure:
        say(f"bench: {failure}")
        return 2
    except KeyboardInterrupt:
        say("bench: interrupted")
        return 1
    return outcome.status
