"""Objectives that workers share, and the methods that ask every worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import synthetic
from bounds import Algorithm, Claim, Statement
from bounds.assumptions import CONVEX, PER_WORKER, SMOOTH
from bounds.methods.decentralized_sgd import lemma_2_root
from bounds.notation import Delta, S, eta
from bounds.quantities import final_suboptimality, total_decrease
from bounds.symbol import COUNT, Symbol
from deep.settings import method
from theorylab import run
from theorylab.engine.driver import BLOCK
from theorylab.errors import UsageError
from theorylab.exact.worst_case import worst_case
from theorylab.hunt.rescaling import rescale, without_noise
from theorylab.judge.check import constants_for
from theorylab.method import (
    SGD,
    DecentralizedSGD,
    DistributedTopKSGD,
    LocalSGD,
    MajorityVote,
    SignSGD,
    TopKSGD,
)
from theorylab.method.decentralized_sgd import mixing_matrix, spectral_gap
from theorylab.method.rule import UpdateRule
from theorylab.problem.sampler import Importance, Reshuffled, WithoutReplacement
from theorylab.problem.workers import Workers
from theorylab.quantities.affine_steps import joint_moments
from theorylab.stability.twins import require_followed
from theorylab.studies.falsify import falsify

RULES: dict[str, UpdateRule] = {
    "local": LocalSGD(0.1, 3),
    "server": LocalSGD(0.1, 3, 1.5),
    "gossip": DecentralizedSGD(0.1),
    "vote": MajorityVote(0.1, 0.5),
    "topk": DistributedTopKSGD(0.1, 1),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def noisy(noise: str = "gaussian", **given: Any) -> Workers:
    return synthetic.curved_workers(M=3, dim=2, noise=noise, sigma=0.5, **given)


@every_rule
def test_bits_do_not_depend_on_chunks_or_the_number_of_replicas(rule: UpdateRule) -> None:
    options: dict[str, Any] = {"record": ("w",), "at": [0, 3, 7], "progress": False}
    many = run(noisy(), rule, 7, 2, 2 * BLOCK + 9, **options)
    few = run(noisy(), rule, 7, 2, 5, **options)
    cut = run(noisy(), rule, 7, 2, 2 * BLOCK + 9, chunk=BLOCK, **options)
    np.testing.assert_array_equal(many["w"][:, :5], few["w"])
    np.testing.assert_array_equal(many["w"], cut["w"])


@every_rule
def test_time_chunks_do_not_show(rule: UpdateRule, monkeypatch: pytest.MonkeyPatch) -> None:
    for noise in ("gaussian", "two_point"):
        whole = run(noisy(noise), rule, 9, replicas=4, record=("w",))
        with monkeypatch.context() as patch:
            patch.setattr("theorylab.engine.chunks.DRAW_BYTES", 1)
            cut = run(noisy(noise), rule, 9, replicas=4, record=("w",))
        np.testing.assert_array_equal(whole["w"], cut["w"])


@pytest.mark.parametrize(
    ("of_workers", "plain"),
    [(LocalSGD(0.1, 1), SGD(0.1)), (LocalSGD(0.1, 1, 0.5), SGD(0.05)),
     (DecentralizedSGD(0.1, "complete"), SGD(0.1)), (MajorityVote(0.1, 0.5), SignSGD(0.1, 0.5)),
     (DistributedTopKSGD(0.1, 1), TopKSGD(0.1, 1))],
    ids=["local", "server", "gossip", "vote", "topk"],
)  # fmt: skip
def test_of_one_worker_or_one_step_they_are_the_plain_methods(
    of_workers: UpdateRule, plain: UpdateRule
) -> None:
    several = isinstance(of_workers, LocalSGD)
    base = synthetic.quadratic(dim=3, noise="gaussian", sigma=0.3)
    F = noisy() if several else Workers("alone", [base])
    found = run(F, of_workers, 20, 2, 6, record=("w",), at=range(21))
    expected = run(F, plain, 20, 2, 6, record=("w",), at=range(21))
    np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-12, atol=1e-14)


def test_what_is_asked_is_counted() -> None:
    F, at = noisy(), [0, 1, 3, 4, 6]
    local = run(F, LocalSGD(0.1, 3), 6, 2, 4, at=at).calls
    assert local.communications[:, 0].tolist() == [0, 1, 1, 2, 2]
    assert local.gradients[:, 0].tolist() == [0, 6, 18, 24, 36]  # 2 samples of 3 workers a step
    gossip = run(F, DecentralizedSGD(0.1), 6, 2, 4, at=at).calls
    assert gossip.communications[:, 0].tolist() == at
    plain = run(F, SGD(0.1), 6, 2, 4, at=at).calls
    assert plain.gradients[:, 0].tolist() == local.gradients[:, 0].tolist()
    assert plain.communications.max() == 0


def test_workers_draw_independently_of_each_other() -> None:
    for noise in ("gaussian", "two_point"):
        F = noisy(noise)
        draw = torch.from_numpy(F.draw(np.random.default_rng(0), 1, 20_000, 1)[0])
        points = F.start.expand(20_000, 3, -1).contiguous()
        mean = torch.stack([m.gradient(F.start[None])[0] for m in F.members])
        errors = F.worker_gradients(points, draw) - mean
        products = torch.einsum("rmi,rni->mn", errors, errors) / len(points)
        expected = 0.25 * torch.eye(3, dtype=torch.float64)
        assert float((products - expected).abs().max()) < 0.02


def test_laws_of_workers_that_draw_unlike_are_products() -> None:
    sums = [synthetic.robust_regression(n=n, dim=2, seed=n) for n in (2, 3)]
    F = Workers("unlike", sums)
    draws, chances = F.outcomes() or (np.zeros(0), np.zeros(0))
    assert draws.tolist() == [[i, j] for i in range(2) for j in range(3)]
    assert chances.tolist() == pytest.approx([1 / 6] * 6)
    drawn = F.draw(np.random.default_rng(0), 200, 5, 2)
    assert drawn.shape == (200, 5, 2, 2)
    assert drawn[..., 0].max() == 1
    assert drawn[..., 1].max() == 2


def test_local_sgd_drifts_where_curvatures_differ() -> None:
    """The fixed point of a round of S exact local steps, in closed form on two quadratics."""
    F, eta, S = synthetic.curved_workers(M=2, condition=4.0), 0.5, 3
    out = run(F, LocalSGD(eta, S), rounds=400, replicas=1, record=("w",))
    factors, minima = np.array([1 - eta * 1.0, 1 - eta * 0.25]) ** S, np.array([1.0, -1.0])
    fixed = ((1 - factors) * minima).sum() / (1 - factors).sum()
    assert float(out["w"][0, 0, 0]) == pytest.approx(fixed, abs=1e-12)
    assert abs(fixed - F.minimizer().item()) > 0.1  # type: ignore[union-attr]


@pytest.mark.parametrize("rule", [LocalSGD(0.3, 3), LocalSGD(0.3, 3, 0.5)], ids=["mean", "step"])
def test_the_spread_of_a_round_of_local_steps_is_exact(rule: LocalSGD) -> None:
    """Noise and pulls apart, summed over S steps of factor 1 - eta h; at any round alike."""
    F = synthetic.shifted_workers(M=3, zeta=0.7, noise="two_point", sigma=0.5)
    found = joint_moments(F, rule, 40, 1, [1, 40])
    assert found is not None
    form = found.form("consensus_distance_squared")
    assert form is not None
    factor = 1 - 0.3
    noise = (1 - 1 / 3) * (0.3 * 0.5) ** 2 * sum(factor ** (2 * k) for k in range(3))
    pull = (0.7 * (1 - factor**3)) ** 2
    assert found.mean(form)[0] == pytest.approx([noise + pull] * 2, rel=1e-12)


def test_a_false_claim_of_workers_is_found_and_shrunk(tmp_path: Path) -> None:
    report = falsify([lemma_2_root], limit=20, out=tmp_path, write=True, progress=False)
    assert report[0].verdict == "violated"
    (written,) = report.counterexamples.values()
    assert written["reason"]  # why there is no script for numpy alone


def test_claims_on_workers_leave_other_objectives_and_hyperparameters_alone() -> None:
    with pytest.raises(UsageError, match="speaks of workers; quadratic has none"):
        constants_for(lemma_2_root, synthetic.quadratic())
    batch = Symbol("M", "a batch size that happens to be called M", COUNT)
    other = Statement("demo.m", "M", "printed", Claim(total_decrease, "<=", batch))
    assert "M" not in constants_for(other, noisy())
    assert constants_for(lemma_2_root, synthetic.linear_workers(M=5))["M"] == 5


@pytest.mark.parametrize("make", [rescale, lambda F, a, b: without_noise(F)])
def test_workers_stay_workers_in_other_units_and_without_noise(make: Any) -> None:
    F = synthetic.shifted_workers(M=3, dim=2, condition=3.0, noise="two_point", sigma=0.5)
    other = make(F, 6.0, 2.0)
    assert isinstance(other, Workers)
    assert [r for r in synthetic.attack(other, points=8, steps=10) if r.broken] == []
    if make is rescale:
        for name, power in (("zeta", 3.0), ("sigma", 3.0), ("ell", 1.5), ("Delta", 6.0)):
            before, after = F.worker_constants()[name], other.worker_constants()[name]
            assert float(after) == pytest.approx(power * float(before))
    else:
        assert float(other.worker_constants()["sigma"]) == 0
        assert float(other.worker_constants()["zeta"]) == 1


def test_refusals_are_one_clear_line() -> None:
    plain, shared = synthetic.quadratic(), noisy()
    for rule in RULES.values():
        with pytest.raises(UsageError, match="quadratic has no workers"):
            run(plain, rule, 3, replicas=2)
        with pytest.raises(UsageError, match=f"{rule.name} asks for communicate"):
            require_followed(rule)
        with pytest.raises(UsageError, match=f"'{rule.name}' needs what no network offers"):
            method(rule.name)
    for sampler in (Reshuffled(), WithoutReplacement(), Importance((0.5, 0.5))):
        with pytest.raises(UsageError, match="every worker draws its own"):
            run(shared, SGD(0.1), 3, replicas=2, sampler=sampler)
    with pytest.raises(UsageError, match="mixing has 2 rows for 3 workers"):
        run(shared, DecentralizedSGD(0.1, mixing=((0.5, 0.5), (0.5, 0.5))), 3, replicas=2)
    with pytest.raises(UsageError, match="of one dimension"):
        Workers("odd", [synthetic.quadratic(dim=1), synthetic.quadratic(dim=2)])
    with pytest.raises(UsageError, match="randomness of one shape"):
        Workers("odd", [plain, synthetic.quadratic(noise="two_point", sigma=1.0)])


def test_a_semidefinite_model_has_no_workers() -> None:
    smooth = Statement(
        "demo.s",
        "S",
        "printed",
        Claim(final_suboptimality, "<=", Delta),
        (PER_WORKER, SMOOTH, CONVEX),
        Algorithm("local_sgd", {"eta": eta, "S": S}),
    )
    pytest.importorskip("PEPit")
    values = {"ell": 1.0, "eta": 0.5, "S": 2, "T": 2, "Delta": 1.0}
    with pytest.raises(
        UsageError, match="local_sgd asks for more, and the semidefinite model has no workers"
    ):
        worst_case(smooth, values)


@pytest.mark.parametrize("mixing", [((0.5, 0.6), (0.5, 0.4)), ((1.5, -0.5), (-0.5, 1.5)),
                                    ((1.0, 0.0),)])  # fmt: skip
def test_a_mixing_matrix_is_doubly_stochastic(mixing: Any) -> None:
    with pytest.raises(ValueError, match="mixing must be a doubly stochastic matrix"):
        DecentralizedSGD(0.1, mixing=mixing)


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
def test_spectral_gaps(workers: int) -> None:
    """Rings are circulant: eigenvalues 1/3 + (2/3) cos(2 pi k/M)."""
    ring = mixing_matrix("ring", workers)
    if workers > 2:
        others = [1 / 3 + 2 / 3 * np.cos(2 * np.pi * k / workers) for k in range(1, workers)]
        assert spectral_gap(ring) == pytest.approx(1 - max(x**2 for x in others))
    assert np.array(ring).sum(0) == pytest.approx(np.ones(workers))
    assert spectral_gap(mixing_matrix("complete", workers)) == pytest.approx(1)
