"""Searches over a budget of gradient evaluations, and the law of a round's length."""

from __future__ import annotations

from bounds.notation import C, eps
from bounds.symbol import Measured
from bounds.units import Units

evaluations_to_reach = Measured(
    "evaluations_to_reach",
    "gradient evaluations until the running mean of E||grad F(w_t)||^2 is at most eps",
    Units(),
    r"N(\varepsilon)",
    True,
    parameters={"accuracy": eps},
)
largest_batch_size = Measured(
    "largest_batch_size",
    "largest B whose mean of E||grad F(w_t)||^2 over T = C/B steps is within twice that of B = 1",
    Units(),
    r"B_{\max}(C)",
    True,
    parameters={"budget": C},
)
mean_round_length = Measured(
    "mean_round_length", "E[M_t], inner steps in a round", Units(), r"\mathbb{E}[M_t]", True
)
round_length_probability = Measured(
    "round_length_probability",
    "P(M_t = K), K inner steps",
    Units(),
    r"\Pr(M_t=K)",
    True,
    parameters={"length": None},
)
