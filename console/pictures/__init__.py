"""Pictures, drawn on the server from plain dataclasses: why a risk is what it is, what a cut would reach, how far a run has come, what a
playbook does.

No script and no inline style: shapes carry classes (static/css/parts/pictures.css, stages.css), so a picture follows the theme, prints, and
says the same in words to people who listen. Views gather the facts; nothing here asks the database.
"""

from console.pictures.blast import Column, Fate, Link, Node, blast_radius
from console.pictures.plan import PlanStage, PlanStep, plan
from console.pictures.stages import StepMark, stages
from console.pictures.waterfall import Bar, Factor, Waterfall, waterfall

__all__ = [
    "Bar",
    "Column",
    "Factor",
    "Fate",
    "Link",
    "Node",
    "PlanStage",
    "PlanStep",
    "StepMark",
    "Waterfall",
    "blast_radius",
    "plan",
    "stages",
    "waterfall",
]
