"""The quality problems: settings were chosen on validation data only."""

from __future__ import annotations

from _quality_many import A_SEQUENCE
from _quality_next import WHAT_COMES_NEXT
from _quality_one import ONE_ANSWER
from _quality_problem import Problem

PROBLEMS: dict[str, Problem] = ONE_ANSWER | WHAT_COMES_NEXT | A_SEQUENCE
