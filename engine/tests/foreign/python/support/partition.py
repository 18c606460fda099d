"""A network namespace with two links to this one, each of which can be cut."""

import os
import shutil
import subprocess


def is_possible():
    """Whether this process may make namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    probe = f"ringmain-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "delete", probe], check=False)
    return made


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Island:
    """What runs there by `command` is reached at either of `addresses`, over a link of its own."""

    def __init__(self):
        number = os.getpid() % 200
        self.name = f"ringmain-{os.getpid()}"
        self.addresses = [f"10.231.{number}.2", f"10.232.{number}.2"]
        self._links = [f"rm{os.getpid()}a", f"rm{os.getpid()}b"]

    def __enter__(self):
        _ip("netns", "add", self.name)
        for link, address in zip(self._links, self.addresses):
            _ip("link", "add", link, "type", "veth", "peer", "name", f"{link}x", "netns", self.name)
            _ip("address", "add", address[:-1] + "1/24", "dev", link)
            _ip("link", "set", link, "up")
            _ip("-n", self.name, "address", "add", f"{address}/24", "dev", f"{link}x")
            _ip("-n", self.name, "link", "set", f"{link}x", "up")
        return self

    def __exit__(self, *_exception):
        # The links go with it.
        _ip("netns", "delete", self.name)

    @property
    def command(self):
        return ["ip", "netns", "exec", self.name]

    def cut(self, which):
        _ip("-n", self.name, "link", "set", f"{self._links[which]}x", "down")

    def heal(self, which):
        _ip("-n", self.name, "link", "set", f"{self._links[which]}x", "up")


def elsewhere_resolved(resolver):
    """The beginning of a command for which the file `resolver` is resolv.conf."""
    mount = 'mount --bind "$1" "$(realpath /etc/resolv.conf)" && shift && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh", str(resolver)]
