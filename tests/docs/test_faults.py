"""The fault matrix: every row that must be shown is, every mark names a row, and the page is what the tests say."""

import pytest

from tests import faults


def test_every_row_of_the_first_sections_has_a_test_or_a_reason():
    assert faults.missing() == []


def test_every_mark_names_a_row():
    assert set(faults.shown()) - set(faults.FAULTS) == set()


@pytest.mark.parametrize("key", faults.LEFT_OUT)
def test_what_is_left_out_is_a_row(key):
    assert key in faults.FAULTS


def test_the_page_is_what_the_tests_say():
    assert faults.PAGE.read_text() == faults.page(), "Renew it: python -m tests.faults --write"


def test_a_mark_is_found_on_a_test_a_case_and_a_module():
    source = """
import pytest
pytestmark = [pytest.mark.django_db, pytest.mark.fault("B1")]
CASES = [pytest.param(1, marks=pytest.mark.fault("A6"))]
@pytest.mark.fault("A7")
@pytest.mark.parametrize("one", CASES)
def test_it(one): ...
"""
    import ast

    assert sorted(faults._marks(ast.parse(source))) == [("A6", ""), ("A7", "test_it"), ("B1", "")]
