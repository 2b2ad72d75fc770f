"""What a name leads to: no spelling of an address leads to another host, and no detour out of a folder."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from containment.domain.facts import BoundRule
from containment.domain.intent import within
from containment.domain.places import place_of, spellings

ELSEWHERE = (
    "https://evil.com/../good.com/x",
    "https://evil.com/%2e%2e/good.com/x",
    "https://evil.com/%252e%252e%252fgood.com/x",
    "https://evil.com\\..\\good.com\\x",
    "https://evil.com/..//good.com/x",
    "https://evil.com/\uff0e\uff0e/good.com/x",
    "https://good.com@evil.com/",
    "https://good.com%2f@evil.com/x",
    "https://good.com\\@evil.com/x",
    "https://good.com\uff0f@evil.com/x",
    "https://good.com%2f.evil.com/x",
    "https://good.com%40evil.com/x",
    "https://good.com.evil.com/x",
    "https:evil.com/../good.com/x",
    "https:///evil.com/good.com",
    "https%3A%2F%2Fevil.com%2F..%2Fgood.com%2Fx",
    "//evil.com/../good.com/x",
    "https://evil\u3002com/../good.com/x",
    "https://evil.com/x#https://good.com/x",
    "https://evil.com?https://good.com/x",
    "x://https://good.com/x",
)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_no_spelling_of_an_address_elsewhere_is_one_on_an_approved_host(name: str) -> None:
    assert not fnmatchcase(place_of(name), "https://good.com/*"), place_of(name)
    assert not within(name, BoundRule(tool="web.get", argument="url", like="https://good.com/*"))


@pytest.mark.parametrize(
    "name",
    [
        "https://good.com/x",
        "HTTPS://GOOD.com/x",
        "https://good.com:443/x",
        "https://good.com./x",
        "https://good\uff0ecom/x",
        "https://me:secret@good.com/x",
        "https://good.com/a/../x",
        "https://good.com/../../x",
        "https://good.com//x",
        "https://good.com/%78",
    ],
)
def test_an_address_has_one_spelling(name: str) -> None:
    assert place_of(name) == "https://good.com/x"


@pytest.mark.parametrize(
    ("name", "leads_to"),
    [
        ("/todos/%2e%2e//users", "/users"),
        ("/todos/%252e%252e/users", "/users"),
        ("\\todos\\..\\users\\", "/users/"),
        ("ledger/./october", "ledger/october"),
        ("../ledger", "../ledger"),
        ("//users", "/users"),
        ("ledger", "ledger"),
        ("s3://bucket/../other/x", "s3://bucket/other/x"),
        ("file:///etc/../root", "file:///root"),
        ("https://good.com", "https://good.com"),
        ("https://good.com:8443/x?q=..", "https://good.com:8443/x?q=.."),
    ],
)
def test_a_name_is_what_it_leads_to(name: str, leads_to: str) -> None:
    assert place_of(name) == leads_to


def test_what_climbs_out_of_an_approved_folder_keeps_to_no_bound() -> None:
    bound = BoundRule(tool="file.read", argument="path", like="/data/*")
    assert within("/data/a.txt", bound)
    assert within("/data/50%/a.txt", bound)
    assert not within("/data/../etc/passwd", bound)
    assert not within("/data/%2e%2e/etc/passwd", bound)


def test_a_text_that_is_no_address_is_read_as_it_stands() -> None:
    assert spellings("10 / 4 and a//b") == ("10 / 4 and a//b",)
