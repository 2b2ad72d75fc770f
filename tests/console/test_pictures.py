"""Pictures say what is so, to those who see them and to those who listen, and whatever they are given stays text."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest

from console.pictures import Bar, Column, Factor, Fate, Link, Node, StepMark, Waterfall, blast_radius, stages, waterfall

SAMPLE = Waterfall(
    prior=-17.0,
    prior_note="service account, script",
    bars=(
        Bar("Discovered", 3.0, "not in the inventory before"),
        Bar("Secret read outside its scope", 24.0, "no workflow of it reads vault"),
        Bar("Not the network it knows", 14.0),
        Bar("Source edr-prod claims it", 4.9, "high × 0.9 × 0.9"),
        Bar("Drive mismatch", -3.0, share=0.5),
    ),
    odds=25.9,
    likelihood=0.997436,
    factors=(Factor("reach", "wide", 0.7), Factor("consequence", "secret.read", 0.9), Factor("sensitivity", "critical", 1.0)),
    impact=0.857262,
    risk=85.5,
    soft=40,
    hard=70,
)
SUBJECT = Column("Identity", (Node("i", "etl_reader", "service account", Fate.SUBJECT),))


def tree(picture):
    """The picture as a browser reads it; unbalanced markup would not parse."""
    return ET.fromstring(f"<div>{picture}</div>")  # noqa: S314 - our own markup


def words(picture):
    return " ".join(" ".join(tree(picture).itertext()).split())


def test_every_number_of_the_risk_can_be_read_off_and_computed_again():
    text = words(waterfall(SAMPLE))
    for number in ("−17.0", "+3.0", "+24.0", "+14.0", "+4.9", "−3.0", "25.9", "99.74 %", "0.857", "85.5", "soft 40", "hard 70"):
        assert number in text
    assert "reach wide 0.7 × consequence secret.read 0.9 × sensitivity critical 1" in text
    assert round(-17 + 3 + 24 + 14 + 4.9 - 3, 1) == SAMPLE.odds


def test_a_signal_that_counts_in_part_says_which_part_of_what():
    assert "½ of −6.0" in words(waterfall(SAMPLE))


def test_each_bar_starts_where_the_one_above_ended():
    bars = [element for element in tree(waterfall(SAMPLE)).iter("rect") if element.get("class", "").startswith("bar")]
    edges = [(float(bar.get("x").rstrip("%")), float(bar.get("x").rstrip("%")) + float(bar.get("width").rstrip("%"))) for bar in bars]
    rising = edges[1:5]  # discovered, secret, network, claim
    assert all(later[0] == pytest.approx(earlier[1], abs=0.02) for earlier, later in pairwise(rising))
    assert edges[5][1] == pytest.approx(rising[-1][1], abs=0.02)  # what speaks against it goes back from there
    assert edges[6][1] == pytest.approx(edges[5][0], abs=0.02)  # and the odds end where it arrived
    assert [bar.get("class") for bar in bars] == ["bar is-prior", *["bar is-up"] * 4, "bar is-down", "bar is-total"]


def test_odds_over_the_limit_say_what_the_sum_was():
    over = replace(SAMPLE, bars=(*SAMPLE.bars, Bar("Planted credential used", 40.0)), odds=30.0)
    assert "the sum is 65.9; the policy counts 30.0 of it" in words(waterfall(over))


@pytest.mark.parametrize(("risk", "level"), [(39.9, "low"), (40, "middle"), (69.9, "middle"), (70, "high")])
def test_the_meter_changes_colour_exactly_at_the_thresholds(risk, level):
    meter = next(element for element in tree(waterfall(replace(SAMPLE, risk=risk))).iter("rect") if element.get("data-level"))
    assert (meter.get("data-level"), meter.get("width")) == (level, f"{risk:g}%")


def test_a_listener_hears_what_is_cut_and_what_stays():
    sessions = Column("Sessions", (Node("s1", "s-77", "198.51.100.7", Fate.CUT), Node("s2", "pay-main", "", Fate.HELD), Node("s3", "s-2")))
    picture = tree(blast_radius([SUBJECT, sessions], [Link("i", "s1", Fate.CUT), Link("i", "s2", Fate.HELD), Link("i", "s3")]))
    said = next(picture.iter("desc")).text
    assert said == "The identity: etl_reader. Is cut: s-77. Is held while people decide: pay-main. Stays as it is: s-2."
    assert [line.text for line in picture.find(".//details").iter("li")] == [
        "s-77 (198.51.100.7): is cut",
        "pay-main: is held while people decide",
        "s-2: stays as it is",
    ]


def test_the_cross_stands_where_the_knife_falls_and_nowhere_behind_it():
    columns = [
        SUBJECT,
        Column("Sessions", (Node("s", "s-77", "", Fate.CUT),)),
        Column("Actions", (Node("a", "secret.read", "", Fate.CUT),)),
    ]
    picture = tree(blast_radius(columns, [Link("i", "s", Fate.CUT), Link("s", "a", Fate.CUT)]))
    assert len([element for element in picture.iter("circle") if element.get("class") == "snip"]) == 1


def test_what_matters_least_is_folded_and_its_lines_lead_to_the_fold():
    many = Column("Resources", (*(Node(f"r{n}", f"table_{n}") for n in range(200)), Node("vault", "vault", "", Fate.CUT)))
    links = [Link("i", "vault", Fate.CUT), *(Link("i", f"r{n}") for n in range(200))]
    picture = tree(blast_radius([SUBJECT, many], links, most=4))
    drawn = [group.find("text").text for group in picture.iter("g")]
    assert drawn == ["etl_reader", "vault", "table_0", "table_1", "+ 198 more"]
    assert len([line for line in picture.iter("path") if line.get("class") == "link"]) == 4
    assert len(list(picture.find(".//details").iter("li"))) == 201


def test_a_link_to_something_unknown_is_left_out():
    assert "class='link'" not in str(blast_radius([SUBJECT], [Link("i", "nowhere")])).replace('"', "'")


def test_a_long_name_is_shortened_in_its_box_and_whole_in_its_title():
    name = "a-service-account-with-a-very-long-name"
    picture = tree(blast_radius([Column("Identity", (Node("i", name, "", Fate.SUBJECT),))], []))
    box = next(picture.iter("g"))
    assert box.find("text").text.endswith("…")
    assert name in box.find("title").text


def test_the_marks_of_a_run_say_their_state_in_words():
    picture = stages([StepMark("Evidence", "done"), StepMark("Credential", "acting", "revoking"), StepMark("Sessions", "waiting")])
    assert [item.get("data-state") for item in tree(picture).iter("li")] == ["done", "acting", "waiting"]
    assert [item.get("aria-current") for item in tree(picture).iter("li")] == [None, "step", None]
    assert words(picture) == "Evidence : done. done Credential : at work. revoking Sessions : waits. waits"


NASTY = '<script>alert(1)</script>" onload="x'


@pytest.mark.parametrize(
    "picture",
    [
        waterfall(replace(SAMPLE, prior_note=NASTY, bars=(Bar(NASTY, 1, NASTY, 0.5),), factors=(Factor(NASTY, NASTY, 1),))),
        blast_radius([Column(NASTY, (Node(NASTY, NASTY, NASTY, Fate.CUT),))], [Link(NASTY, NASTY, Fate.CUT)]),
        stages([StepMark(NASTY, "done", NASTY)]),
    ],
    ids=["waterfall", "blast", "stages"],
)
def test_what_a_picture_is_given_stays_text(picture):
    assert not list(tree(picture).iter("script"))
    assert not [element for element in tree(picture).iter() if "onload" in element.attrib or "style" in element.attrib]
    assert "&lt;" in str(picture)
