"""The flow, from a trained network to files: a table of contents of everything to the left.

``front`` reads, quantises and lowers a model; ``planning`` sizes its layers; ``compilation`` goes the whole way to a
``design``, which has the files; ``retraining`` brings other weights into hardware that is there.
"""

from hwgen.flow.compilation import DEVICE, build, compile, prepare_yosys
from hwgen.flow.design import TAIL_FILE, Design
from hwgen.flow.front import Quantised, cut_model, quantised
from hwgen.flow.planning import check_given, choose_plan
from hwgen.flow.retraining import Retrained, retrained, simulate_loads

__all__ = [
    "DEVICE", "TAIL_FILE", "Design", "Quantised", "Retrained", "build", "check_given", "choose_plan", "compile",
    "cut_model", "prepare_yosys", "quantised", "retrained", "simulate_loads",
]  # fmt: skip
