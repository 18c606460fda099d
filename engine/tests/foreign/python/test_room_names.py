"""Room names that are refused, and why."""

import re

import pytest

from support.raw import Raw, upgrade_request

REFUSED = {
    "nothing": ("", r"empty|1 to 255|at least"),
    "256 bytes": ("x" * 256, r"255"),
    "256 bytes, percent-encoded": ("%78" * 256, r"255"),
    "86 characters of three bytes": ("%E2%82%AC" * 86, r"255"),
    "a NUL": ("a%00b", r"control"),
    "a line feed": ("a%0Ab", r"control"),
    "a tab at the end": ("a%09", r"control"),
    "DEL": ("%7F", r"control"),
    "a control character above ASCII": ("a%C2%85b", r"control"),
    "a byte that is not UTF-8": ("a%FFb", r"UTF-8"),
    "half a character": ("%E2%82", r"UTF-8"),
    "a surrogate": ("%ED%A0%80", r"UTF-8"),
    "an overlong slash": ("%C0%AF", r"UTF-8"),
}


@pytest.mark.parametrize("name, why", REFUSED.values(), ids=REFUSED.keys())
def test_an_invalid_room_name_is_refused_with_the_reason(engine, name, why):
    with Raw(engine) as raw:
        raw.send(upgrade_request(f"/raw/{name}"))
        response = raw.response()
        assert response.status == 400
        assert re.search(why, response.text, re.IGNORECASE), f"{response.text!r} does not say why"
    engine.members_are(0)
