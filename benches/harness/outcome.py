"""What a command of the harness found, and the forms in which it hands it on."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from .failure import Failure
from .table import Table


@dataclass
class Outcome:
    """Tables, sentences below them, and the same for machines."""

    tables: list[Table] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    document: dict = field(default_factory=dict)
    # Runs that came to nothing.
    failures: list[str] = field(default_factory=list)
    # A drawing that belongs to it.
    picture: Path | None = None
    # A figure is not to be trusted, or not what it must be.
    invalid: bool = False

    @property
    def status(self) -> int:
        return 1 if self.failures or self.invalid else 0

    def add(self, other: "Outcome", name: str) -> None:
        """Appends what another part of the same command found; its document goes under `name`."""
        self.tables += other.tables
        self.words += other.words
        self.failures += other.failures
        self.invalid |= other.invalid
        self.document[name] = other.document

    def text(self) -> str:
        parts = [f"{table.title}\n\n{table.text()}" for table in self.tables]
        parts += ["\n".join(self.words)] if self.words else []
        parts += ["\n".join(f"FAILED {failure}" for failure in self.failures)] if self.failures else []
        return "\n\n".join(parts)

    def markdown(self, conditions: dict) -> str:
        facts = ", ".join(f"{conditions[name]}" for name in ("cpu", "cores_and_memory", "kernel", "commit", "at"))
        parts = [f"`{conditions['command']}`", facts]
        parts += [f"![{self.picture.stem}]({self.picture.name})"] if self.picture else []
        parts += [f"**{table.title}**\n\n{table.markdown()}" for table in self.tables]
        parts += ["\n".join(f"* {words}" for words in self.words)] if self.words else []
        parts += ["\n".join(f"* FAILED {failure}" for failure in self.failures)] if self.failures else []
        return "\n\n".join(parts)


def say(words: str) -> None:
    """Progress, which is not the result."""
    print(words, file=sys.stderr, flush=True)


def conditions(root: Path) -> dict:
    """Where, when and by what command something was measured."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": shlex.join(["scripts/bench", *sys.argv[1:]]),
        "commit": _commit(root),
        "kernel": f"Linux {platform.release()}",
        "cpu": models[0].split(":", 1)[1].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "cores_and_memory": f"{os.cpu_count()} cores, {pages / 2**30:.0f} GiB",
    }


def _commit(root: Path) -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True).stdout.strip()

    try:
        commit, changed = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except OSError:
        return "commit unknown"
    return f"commit {commit or 'unknown'}{' with changes' if changed else ''}"


def write_json(path: Path, outcome: Outcome, facts: dict) -> None:
    document = {"conditions": facts, **outcome.document, "failures": outcome.failures}
    path.write_text(json.dumps(document, indent=2) + "\n")


HEADING = """\
# Results

Each section was written by the command at its head (`--markdown FILE` replaces the command's own section and leaves
the others). What the figures mean, and what they do not, is in [README.md](README.md).
"""


def write_markdown(path: Path, section: str, outcome: Outcome, facts: dict) -> None:
    """Puts the outcome into its section of the file, in place of what stood there."""
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    block = f"{begin}\n## {section}\n\n{outcome.markdown(facts)}\n{end}"
    text = path.read_text() if path.exists() else HEADING
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if begin in text and not pattern.search(text):
        raise Failure(f"{path} has `{begin}` without `{end}`: mend or remove it")
    text = pattern.sub(lambda _: block, text, 1) if begin in text else f"{text.rstrip()}\n\n{block}\n"
    path.write_text(text)
