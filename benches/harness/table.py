"""Tables, for people and for RESULTS.md."""

from dataclasses import dataclass, field


@dataclass
class Table:
    """Words stand to the left and numbers to the right; `words` names the columns of words."""

    title: str
    head: tuple[str, ...]
    words: frozenset[str] = frozenset()
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        if len(cells) != len(self.head):
            raise ValueError(f"{len(cells)} cells for {len(self.head)} columns")
        self.rows.append(cells)

    def text(self) -> str:
        """For a terminal."""
        widths = [max(len(row[column]) for row in [self.head, *self.rows]) for column in range(len(self.head))]
        lines = ["  ".join(self._aligned(row, widths)).rstrip() for row in [self.head, *self.rows]]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)

    def _aligned(self, row: tuple[str, ...], widths: list[int]) -> list[str]:
        return [
            cell.ljust(width) if name in self.words else cell.rjust(width)
            for name, cell, width in zip(self.head, row, widths)
        ]

    def markdown(self) -> str:
        """For a file."""
        rule = ["---" if name in self.words else "---:" for name in self.head]
        rows = [list(self.head), rule, *([cell.replace("|", "\\|") for cell in row] for row in self.rows)]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def number(value: float | None, form: str) -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None else format(value, form)
