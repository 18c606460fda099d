"""Waits for a state, with a deadline that names it."""

import time

DEADLINE_SECONDS = 20.0


def until(state, what, seconds=DEADLINE_SECONDS):
    """Asks `state` again and again until it answers with something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        answer = state()
        if answer:
            return answer
        if time.monotonic() >= end:
            raise AssertionError(f"waited {seconds} s in vain until {what}")
        time.sleep(0.005)
