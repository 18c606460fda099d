"""CPU time, from /proc."""

import os
import threading
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.1


def process_seconds(pid: int) -> float:
    """User and system time of all threads of a process. Loopback's softirq runs inside the sender, so it is in here.

    schedstat has the same sum as utime + stime in stat, in nanoseconds where that has ticks of 10 ms.
    """
    nanoseconds = 0
    ticks = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            nanoseconds += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            try:
                fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
            except FileNotFoundError:
                continue  # The thread has just ended.
    return nanoseconds / 1e9 + ticks / TICKS_PER_SECOND


def machine_seconds() -> float:
    """Time that all cores together spent on anything."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / TICKS_PER_SECOND


class Sampler(threading.Thread):
    """Reads a process's CPU time all through a run, so that any part of the run can be looked at afterwards."""

    def __init__(self, pid: int, cpu: int):
        super().__init__(daemon=True)
        self._pid = pid
        self._cpu = cpu
        self._done = threading.Event()
        # (monotonic seconds, CPU seconds), in order.
        self.samples: list[tuple[float, float]] = []

    def run(self) -> None:
        # This thread alone, off the server's core. What the main thread starts must be free to choose its own.
        os.sched_setaffinity(0, {self._cpu})
        while True:
            try:
                self.samples.append((time.monotonic(), process_seconds(self._pid)))
            except OSError:
                return  # The process is gone; whoever waits for it finds that out.
            if self._done.wait(SAMPLE_SECONDS):
                return

    def stop(self) -> None:
        self._done.set()
        self.join()

    def seconds_at(self, moment: float) -> float:
        """CPU seconds that had been used up at a reading of the monotonic clock, or at the first sample after it."""
        return next((cpu for at, cpu in self.samples if at >= moment), self.samples[-1][1] if self.samples else 0.0)

    def share_between(self, begin: float, end: float) -> float:
        """CPU seconds a second between two readings of the monotonic clock."""
        inside = [sample for sample in self.samples if begin <= sample[0] <= end]
        if len(inside) < 2:
            return 0.0
        (begin, cpu_begin), (end, cpu_end) = inside[0], inside[-1]
        return (cpu_end - cpu_begin) / (end - begin)

    def steady_share(self, seconds: float) -> float:
        """The same for the middle of the stretch of about `seconds` in which the server worked most.

        For load generators that do not say when they measured: connecting, warming up and closing come before and
        after, and are either shorter or lazier.
        """
        best = (0.0, 0.0, 0.0)
        for at, cpu in self.samples:
            later = [sample for sample in self.samples if at + seconds * 0.8 <= sample[0] <= at + seconds]
            if later:
                end, cpu_end = later[0]
                best = max(best, (cpu_end - cpu, at, end))
        _, begin, end = best
        margin = (end - begin) * 0.05
        return self.share_between(begin + margin, end - margin)
