"""What can go wrong."""


class Failure(Exception):
    """One run is of no use; the message says why and what to do."""
