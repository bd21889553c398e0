"""The gradient through time: seen while a model trains, explained in words, mended, and drawn.

`watch` looks at every backward pass; `probe` sends a loss at the end back; `diagnose` says what it
means beside how far back the data `need`s it; `remedies` help.
"""

from . import remedies
from ._curves import plot_losses
from ._diagnosis import KINDS, Diagnosis, diagnose, diagnose_run
from ._flow import Flow, Place, Seen, watch
from ._measures import States, spectral_radius, states_of, update_ratios
from ._need import Need, need, need_of_tokens
from ._pictures import (
    plot_attention,
    plot_flow,
    plot_gates,
    plot_history,
    plot_reach,
    plot_states,
    plot_unrolled,
)
from ._probe import Probe, probe, probe_run, traced_run
from ._reach import Reach, is_on_its_way, reach_of
from ._width import width, width_run

__all__ = [
    "KINDS",
    "Diagnosis",
    "Flow",
    "Need",
    "Place",
    "Probe",
    "Reach",
    "Seen",
    "States",
    "diagnose",
    "diagnose_run",
    "is_on_its_way",
    "need",
    "need_of_tokens",
    "plot_attention",
    "plot_flow",
    "plot_gates",
    "plot_history",
    "plot_losses",
    "plot_reach",
    "plot_states",
    "plot_unrolled",
    "probe",
    "probe_run",
    "reach_of",
    "remedies",
    "spectral_radius",
    "states_of",
    "traced_run",
    "update_ratios",
    "watch",
    "width",
    "width_run",
]
