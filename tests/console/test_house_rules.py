"""What every page and module must keep to, so that the content security policy holds and htmx finds its nonces."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "templates").rglob("*.html"))
MODULES = sorted((ROOT / "static" / "js").glob("*.js"))
STYLES = sorted((ROOT / "static" / "css").rglob("*.css"))
TAGS = re.compile(r"<[a-z][^<>]*(?:\{[^{}]*\}[^<>]*)*>", re.DOTALL)
SINKS = re.compile(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function)\b|setHTMLUnsafe|createPolicy")


def named(path):
    return path.relative_to(ROOT).as_posix()


def without_comments(page):
    text = re.sub(r"\{% comment %\}.*?\{% endcomment %\}", "", page.read_text(), flags=re.DOTALL)
    return re.sub(r"(?<==)'[^']*'", '""', text)  # JSON in attributes


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_page_carries_inline_style_or_handlers(page):
    tags = TAGS.findall(without_comments(page))
    assert not [tag for tag in tags if re.search(r"\s(style|on[a-z]+)\s*=", tag)]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_element_that_htmx_drives_carries_the_nonce(page):
    driven = [tag for tag in TAGS.findall(without_comments(page)) if re.search(r"\shx-(get|post|put|patch|delete|ws:connect)=", tag)]
    assert not [tag for tag in driven if 'hx-nonce="{{ request.csp_nonce }}"' not in tag]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_script_of_a_page_carries_the_nonce_and_no_page_hands_it_down(page):
    text = without_comments(page)
    assert not [tag for tag in TAGS.findall(text) if tag.startswith("<script") and 'nonce="{{ request.csp_nonce }}"' not in tag]
    assert "hx-nonce:inherited" not in text


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_form_that_posts_carries_the_csrf_token(page):
    forms = re.findall(r"<form\b.*?</form>", without_comments(page), flags=re.DOTALL)
    assert not [form for form in forms if 'method="post"' in form and "csrf_token" not in form]


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_no_module_writes_html_or_evaluates_text(module):
    assert not SINKS.findall(module.read_text())


@pytest.mark.parametrize("style", STYLES, ids=named)
def test_style_files_stay_short_enough_to_read_and_fetch_nothing_from_elsewhere(style):
    text = style.read_text()
    assert text.count("\n") <= 400
    assert not re.search(r"url\(['\"]?(https?:)?//", text)


def test_every_style_file_is_in_the_index():
    index = (ROOT / "static" / "css" / "console.css").read_text()
    imported = set(re.findall(r'@import url\("([^"]+)"\)', index))
    assert imported == {path.relative_to(ROOT / "static" / "css").as_posix() for path in STYLES} - {"console.css"}


def test_literal_colours_live_in_the_tokens_alone():
    literal = re.compile(r"#[0-9a-f]{3,8}\b|\brgba?\(|\bhsla?\(", re.IGNORECASE)
    outside = {named(path): literal.findall(path.read_text()) for path in STYLES if path.name not in {"tokens.css", "util.css"}}
    assert not {name: found for name, found in outside.items() if found}
