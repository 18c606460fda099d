"""One reading of the engine's metrics, in Prometheus' text form."""

import re

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    def __init__(self, text):
        self._samples = []
        for line in text.splitlines():
            sample = _SAMPLE.match(line)
            if sample:
                name, labels, value = sample.groups()
                self._samples.append((name, dict(_LABEL.findall(labels or "")), float(value)))

    def of(self, name, **labels):
        """The samples of a metric whose labels include `labels`, as pairs of labels and value."""
        return [
            (found, value)
            for sample_name, found, value in self._samples
            if sample_name == name and labels.items() <= found.items()
        ]

    def sum(self, name, **labels):
        return sum(value for _, value in self.of(name, **labels))
