"""Measures on networks, twins, arms and pix2pix against known answers."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deep.arms import arms, gains, mean_step, per_round, per_step, report
from deep.comparison import Group, Plan, RunsOfArm, markdown
from deep.data import Batch, load
from deep.experiments import compare, matching, scope
from deep.gan import GanSettings, GanTrainer, nearest_colour, score
from deep.measures import gradient_noise, hessian_norm, hitting, relaxed_smoothness
from deep.schedules import schedule
from deep.settings import METHODS, Settings
from deep.training import load_data
from deep.twins import train_twins
from theorylab.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")


# --- measures ------------------------------------------------------------------------------------
def logistic(samples: int, features: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    network = nn.Linear(features, 3, bias=False).double()
    images = torch.randn(samples, features, generator=generator, dtype=torch.float64)
    return network, images, torch.randint(3, (samples,), generator=generator)


def test_hessian_norm_of_softmax_regression_is_its_largest_eigenvalue() -> None:
    network, images, targets = logistic(40, 4)
    p = torch.softmax(network(images), 1).detach()
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    hessian = torch.einsum("nij,nk,nl->ikjl", inner, images, images).reshape(12, 12) / len(images)
    largest = float(torch.linalg.eigvalsh(hessian)[-1])

    class Double(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    assert math.isclose(hessian_norm(Double(), images, targets, 200), largest, rel_tol=1e-4)


def test_gradient_noise_is_that_of_the_single_gradients() -> None:
    network, images, targets = logistic(24, 4)
    p = torch.softmax(network(images), 1).detach()
    p[torch.arange(24), targets] -= 1
    gradients = torch.einsum("ni,nk->nik", p, images).flatten(1)
    mean = gradients.mean(0)
    expected = float((gradients - mean).square().sum() / 23)
    rows = torch.arange(24)
    batches = [Batch(images[i : i + 1], targets[i : i + 1], rows[i : i + 1]) for i in range(24)]
    found = gradient_noise(network, batches)
    assert math.isclose(found.norm, float(mean.norm()), rel_tol=1e-5)
    assert math.isclose(found.variance, expected, rel_tol=1e-5)
    # Larger batches estimate the same variance: their spread is smaller, their weight larger.
    pairs = [Batch(*(torch.cat([getattr(batches[i], f), getattr(batches[i + 1], f)])
                     for f in Batch._fields)) for i in range(0, 24, 2)]  # fmt: skip
    many = gradient_noise(network, pairs)
    assert math.isclose(many.norm, found.norm, rel_tol=1e-5)
    assert 0.4 < many.variance / found.variance < 2.5


def test_relaxed_smoothness_keeps_both_constants_nonnegative() -> None:
    falling = relaxed_smoothness([0.0, 1.0, 2.0], [3.0, 2.0, 1.0])
    assert falling.lambda_ == 0.0
    assert math.isclose(falling.L, 2.0)
    assert falling.above == 3.0
    noisy = relaxed_smoothness([1.0, 2.0, 3.0, 4.0], [3.0, 5.5, 6.5, 9.0])
    assert all(noisy.above + noisy.lambda_ * x >= y - 1e-12
               for x, y in zip((1, 2, 3, 4), (3.0, 5.5, 6.5, 9.0), strict=True))  # fmt: skip


def test_hitting_skips_rows_that_diverged() -> None:
    rows = [{"rounds": i, "gradients": i, "seconds": i, "x": x} for i, x in enumerate((None, 0.5))]
    assert hitting(rows, "x", 1.0) == {"rounds": 1.0, "gradients": 1.0, "seconds": 1.0}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("constant", [1, 1, 1, 1]),
        ("poly:2", [1, 0.5625, 0.25, 0.0625]),
        ("staircase:0.5:0.1", [1, 1, 0.1, 0.1]),
        ("exponential:4", [1, math.exp(-1), math.exp(-2), math.exp(-3)]),
        ("sigmoid:0", [1 / (1 + math.exp(-5)), 1 / (1 + math.exp(-2.5)), 0.5,
                       1 / (1 + math.exp(2.5))]),
    ],
)  # fmt: skip
def test_schedules_by_name(text: str, values: list[float]) -> None:
    made = schedule(text, 1.0, 4)
    np.testing.assert_allclose([made(t) for t in (1, 2, 3, 4)], values)


@pytest.mark.parametrize("text", ["cosine", "poly:x", "staircase:0.5:a"])
def test_unknown_schedules_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="schedule"):
        schedule(text, 1.0, 4)


# --- arms ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", METHODS)
def test_arms_match_the_work(name: str) -> None:
    settings = Settings(optimizer=name, steps=1000)
    found = arms(settings)
    assert next(iter(found)) == name
    for arm, other in found.items():
        share = {"same rounds": 1 / per_round(settings), "same gradients": per_step(settings)}
        assert other.steps == round(1000 * share.get(arm, 1.0))
        assert (other.batch_size, other.seed, other.data) == (32, 0, "digits")
    if "lambda=0" in found:
        assert found["lambda=0"].arguments["lam"] == 0
        assert found["mean step"].lr == mean_step(settings)
        assert math.isclose(mean_step(settings) / settings.step_size, 0.2929, rel_tol=1e-3)
    if "same gradients" in found:
        assert found["same gradients"].arguments.get("momentum", 0) == settings.arguments.get(
            "momentum", 0
        )


def test_a_gain_survives_only_if_its_interval_says_so() -> None:
    found = gains({"a": [0.5, 0.6, 0.7], "worse": [0.4, 0.5, 0.61], "alike": [0.6, 0.5, 0.7],
                   "better": [0.7, 0.81, 0.9]})  # fmt: skip
    assert [gain.survives for gain in found] == ["yes", "undecided", "no"]
    assert "the arm is better" in report(found)
    assert gains({"a": [1.0], "b": [0.0]})[0].survives == "undecided"


def test_the_comparison_is_matched_both_ways(tmp_path: Path) -> None:
    found = matching(Plan(), 50_000, 4)
    work = {name: s.steps * s.batch_size for name, s in found.items()}  # type: ignore[operator]
    assert work.pop("same rounds") == 50_000
    assert set(work.values()) == {500_000}
    for name, settings in scope(Plan(share=0.1), 50_000).items():
        twin = name.replace("msgd gradients of", "lrsgd_r")
        assert settings.steps == scope(Plan(share=0.1), 50_000)[twin].steps
    plan = Plan(share=0.02, batch_sizes=(16,), seeds=2, data="digits", gammas=(0.5,))
    first = compare(plan, tmp_path, progress=False)
    assert first.missing == 0
    group = first["batch 16"]
    assert {arm.seeds for arm in group.arms} == {(0, 1)}
    assert {gain.arm for gain in group.gains["lrsgd_c"]} == set(found) - {"lrsgd_r", "lrsgd_c"}
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results -->\nstale\n<!-- end of results -->\nafter\n")
    for _ in range(2):
        first.write_tables(page)
        assert first.markdown() in page.read_text()
        assert "stale" not in page.read_text()
    assert "- lrsgd_c against `mean step`: " in first.markdown()
    page.write_text("no markers")
    with pytest.raises(UsageError, match="needs the lines"):
        first.write_tables(page)
    kept = json.loads((tmp_path / "results.json").read_text())
    read = [Group.from_json(name, table) for name, table in kept["groups"].items()]
    assert tuple(read) == first.groups
    frame = first.to_pandas()
    assert set(frame.group) == {"batch 16", "gamma"}
    assert frame[frame.group == "batch 16"].groupby(["arm", "seed"]).ngroups == 2 * len(found)
    for shown in (
        first._repr_html_(),
        first.to_latex(),
        first.save(tmp_path / "a.tex").read_text(),
    ):
        assert "same gradients" in shown
        assert "survives" in shown
    # Started again, nothing runs: a budget of no time still finds every run.
    again = compare(plan, tmp_path, budget=0.0, progress=False)
    assert again.groups == first.groups
    halved = compare(dataclasses.replace(plan, seeds=3), tmp_path, budget=0.0, progress=False)
    assert halved.missing == 8
    assert halved["batch 16"].gains == {}


def test_a_run_that_diverged_scores_nothing() -> None:
    def arm(name: str, *ends: float | None) -> RunsOfArm:
        runs = tuple({"train_loss": [1.0, end], "test_loss": [1.0, end],
                      "test_accuracy": [0.5, end]} for end in ends)  # fmt: skip
        return RunsOfArm(name, 0.1, 5, (0, 1), runs)

    group = Group.of("batch 4", [arm("lrsgd_r", 0.5, None), arm("same gradients", 0.5, 0.5)], 2)
    assert group.arms[0].scores == [0.5, 0.0]
    assert math.isclose(group.gains["lrsgd_r"][0].mean, -0.25)
    assert "| lrsgd_r | 0.1 | 5 | 2 | 25.00 ± 35.36 | 0.500 |" in markdown("x", [group])


PAGES = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", ["lrsgd_matching", "lrsgd_matching_tuned"])
def test_the_page_shows_what_was_measured(name: str) -> None:
    path = PAGES / "measured" / f"{name}.json"
    if not path.exists():
        pytest.skip("the comparison has not been run")
    results = json.loads(path.read_text())
    groups = [Group.from_json(group, table) for group, table in results["groups"].items()]
    shown = markdown(results["label"], groups, results["missing"])
    assert shown in (PAGES / "deep.md").read_text()
    for group in groups:
        again = Group.of(group.name, group.arms, results["plan"]["seeds"])
        for first, each in group.gains.items():
            for gain, other in zip(each, again.gains[first], strict=True):
                assert math.isclose(gain.mean, other.mean, abs_tol=1e-12)
                assert (gain.arm, gain.survives) == (other.arm, other.survives)


def test_figures_2_and_3_run_at_the_papers_values() -> None:
    plan = Plan()
    over_gamma = scope(plan, 50_000)
    assert {s.batch_size for s in over_gamma.values()} == {512}
    assert {s.lr for s in over_gamma.values()} == {0.1}
    run = over_gamma["lrsgd_r gamma=1/10"]
    found = schedule(run.schedule, run.step_size, 350)
    # A tenth after 150 of 350 epochs, and after 250.
    steps = [150, 151, 250, 251, 350]
    assert [round(found(t), 6) for t in steps] == [0.1, 0.01, 0.01, 0.001, 0.001]
    # Curves, not ends alone.
    assert {s.evaluations for s in matching(plan, 50_000, 8).values()} == {20}


# --- twins ---------------------------------------------------------------------------------------
def test_twins_are_equal_until_the_sample_is_drawn() -> None:
    settings = Settings(
        model="two_conv", train_samples=60, batch_size=4, epochs=1, evaluations=15,
        optimizer="entropy_sgd", options={"S": 1}, model_options={"dropout": 0.2},
    )  # fmt: skip
    data = load_data(settings)
    data = dataclasses.replace(data, test=data.test.subset(torch.arange(50)))
    pairs = train_twins(settings, data, count=2, progress=False)
    assert len({pair.sample for pair in pairs}) == 2
    for pair in pairs:
        assert pair.first_drawn is not None
        assert len(pair.rows) == 15
        for row in pair.rows:
            values = [row[k] for k in ("largest_loss_gap", "mean_loss_gap", "distance")]
            if row["steps"] < pair.first_drawn:
                assert values == [0.0, 0.0, 0.0]
                assert row["disagreement"] == 0.0
            else:
                assert min(values) > 0.0


def test_a_full_gradient_draws_every_sample() -> None:
    settings = Settings(model="two_conv", train_samples=60, batch_size=4, steps=4, evaluations=4,
                        optimizer="svrg", options={"S": 2})  # fmt: skip
    data = load_data(settings)
    data = dataclasses.replace(data, test=data.test.subset(torch.arange(50)))
    (pair,) = train_twins(settings, data, progress=False)
    assert pair.first_drawn == 1
    assert min(row["distance"] for row in pair.rows) > 0.0


def test_stopped_twins_go_on_bit_for_bit(tmp_path: Path) -> None:
    settings = Settings(
        model="two_conv", train_samples=60, batch_size=4, epochs=1, evaluations=15,
        optimizer="lrsgd_r", model_options={"dropout": 0.2},
    )  # fmt: skip
    data = load_data(settings)
    data = dataclasses.replace(data, test=data.test.subset(torch.arange(50)))
    whole = train_twins(settings, data, count=2, progress=False)
    train_twins(settings, data, count=2, folder=tmp_path, until=6, progress=False)
    assert train_twins(settings, data, count=2, folder=tmp_path, progress=False) == whole
    with pytest.raises(UsageError, match="holds 2 twins"):
        train_twins(settings, data, count=1, folder=tmp_path, progress=False)


def test_twins_need_a_sample_each() -> None:
    settings = Settings(model="two_conv", train_samples=60)
    with pytest.raises(UsageError, match="between 1 and 60"):
        train_twins(settings, load_data(settings), count=61)


# --- pix2pix -------------------------------------------------------------------------------------
def test_the_authors_gan_takes_the_pull_that_belongs_to_its_step() -> None:
    assert GanSettings(optimizer="tradam").pull == 0.1
    authors = GanSettings(optimizer="tradam", variant="authors")
    assert authors.pull == pytest.approx(0.1 * 2e-4)
    assert dataclasses.replace(authors, lam=0.3).pull == 0.3
    optimizer = authors.build_optimizer(torch.nn.Linear(2, 2))
    assert optimizer.param_groups[0]["lam"] == authors.pull


def pairs() -> Any:
    return load("generated-pairs", image_size=32, train=3, test=2)


@pytest.mark.parametrize("name", ["adam", "tradam"])
def test_a_stopped_gan_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    settings = GanSettings(optimizer=name, epochs=2, image_size=32, width=4, S=4)  # type: ignore[arg-type]
    whole = GanTrainer(settings, pairs())
    expected = whole.run(progress=False)
    GanTrainer(settings, pairs(), folder=tmp_path).run(progress=False, until=2)
    again = GanTrainer(settings, pairs(), folder=tmp_path)
    assert again.run(progress=False, segmenter=None) == expected
    assert expected["steps"] == 6
    for part in ("generator", "discriminator"):
        for p, q in zip(getattr(whole, part).parameters(), getattr(again, part).parameters(),
                        strict=True):  # fmt: skip
            assert torch.equal(p, q)
    with pytest.raises(UsageError, match="other settings"):
        GanTrainer(dataclasses.replace(settings, lr=1.0), pairs(), folder=tmp_path).run()


def test_tradam_without_its_pull_and_rounds_is_adam() -> None:
    states = []
    for name, extra in (("adam", {}), ("tradam", {"lam": 0.0, "S": 1})):
        settings = GanSettings(optimizer=name, epochs=1, image_size=32, width=4, **extra)  # type: ignore[arg-type]
        trainer = GanTrainer(settings, pairs())
        trainer.run(progress=False)
        states.append(trainer.generator.state_dict())
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-5, atol=1e-6)


def test_the_right_photo_scores_best() -> None:
    data = pairs()

    class Oracle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))
            self.photos = [batch.targets for batch in data.in_order(data.test, 1)]
            self.next = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.next += 1
            return self.photos[self.next - 1]

    found = score(Oracle(), data, nearest_colour)
    assert found["l1"] == 0.0
    assert found["psnr"] == math.inf
    assert math.isclose(found["ssim"], 1.0, rel_tol=1e-5)
    assert found["per_pixel"] > 0.95


def test_class_labels_are_refused() -> None:
    with pytest.raises(UsageError, match="pairs of images"):
        GanTrainer(GanSettings(), load("digits"))
    with pytest.raises(UsageError, match="theorylab gan"):
        load_data(Settings(data="generated-pairs"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": math.inf}, "lr must be finite, got inf"),
        ({"epochs": math.nan}, "epochs must be finite"),
        ({"optimizer": "sgd"}, "must be adam or tradam"),
    ],
)
def test_impossible_gan_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GanSettings(**given)


def test_what_an_optimizer_refuses_names_the_gan() -> None:
    with pytest.raises(UsageError, match="gan: TRAdam: lam"):
        GanSettings(optimizer="tradam", lam=-1.0).build_optimizer(torch.nn.Linear(1, 1))
