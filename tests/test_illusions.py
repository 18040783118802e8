"""What no sample saw is not taken for absent: a hunt goes where more samples can refute."""

import math
from dataclasses import replace
from typing import Any

import sympy as sp
from falsified import scaled

import synthetic
import theorylab
from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import BOUNDED_VARIANCE, SMOOTH
from bounds.notation import B, ell, eta, sigma
from bounds.quantities import decrease, gradient_norm_squared
from theorylab.hunt.search import Instance, hunt, score
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry

# One of so many samples holds the whole slope: 128 draws mostly miss it, from every point.
RARE: dict[str, Any] = {"family": "stability_twins", "parameters": {"n": 7506}}
WAVES: dict[str, Any] = {
    "family": "bounded_nonconvex",
    "parameters": {"dim": 1, "kappa": 0.5, "noise": "gaussian", "sigma": 0.5},
}
# Of the noise term no share below 1 is true; 128 samples do not show it for 0.7.
TOO_SHARP = Statement(
    "made_up.too_sharp", "Lemma", "printed",
    Claim(decrease, ">=",
          eta * gradient_norm_squared / 2 - sp.Rational(7, 10) * eta**2 * ell * sigma**2 / (2 * B)),
    (SMOOTH, BOUNDED_VARIANCE), Algorithm("sgd"), {},
    (Condition(eta, "<=", 1 / ell), Condition(B, "<=", 1)),
)  # fmt: skip


def test_samples_that_agree_are_no_promise() -> None:
    """The ratio is far above 1 with no spread, and every hunt that met it followed it."""
    descent = registry.statement("tralgo.descent", "repaired")
    found = Instance(RARE, {"B": 21.0, "eta": 0.01}).check(descent, replicas=128, effort=1e5)
    assert (found.verdict, found.evidence) == ("not refuted", "samples")
    assert score(found, descent) < 0


def test_a_violation_that_illusions_hid_is_found() -> None:
    found = hunt(TOO_SHARP, [RARE, WAVES], limit=16, programs=0, progress=False)
    assert (found.verdict, found.best.evidence) == ("violated", "valid interval")
    assert found.ratio > 1.3


def test_where_no_range_is_certified_samples_point_and_do_not_lead() -> None:
    told: dict[str, Any] = {"evidence": "samples", "standard_error": 0.01}
    open_ = Verdict("k", "printed", "not refuted", 2.0, (-math.inf, math.inf), 1.0,
                    unseen=math.inf, **told)  # fmt: skip
    closer = replace(open_, measured=3.0)
    known = replace(open_, measured=1.1, unseen=0.05)
    assert score(open_, TOO_SHARP) < score(closer, TOO_SHARP) < 0 < score(known, TOO_SHARP)
    assert Verdict.from_json(open_.to_json()).unseen == math.inf


def test_distances_of_twins_after_a_round_are_known_to_be_nonnegative() -> None:
    """Nothing certified a range, so no false bound on them could ever be refuted."""
    kept = registry.statement("lrsgd.expansion_lrsgd_c", "repaired")
    apart = synthetic.linear_twins(n=20)
    values = {"lam": 2.0, "S": 5}
    false = theorylab.check(scaled(kept, sp.Rational(9, 10)), apart, values=values)
    assert (false.verdict, false.evidence) == ("violated", "valid interval")
    assert theorylab.check(kept, apart, values=values).verdict != "violated"
