"""A method in a package of somebody's own: it runs, compiles, is enumerated, judged and trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = '''
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

from torch import Tensor

from bounds import Algorithm, Claim, Statement
from bounds.assumptions import BOUNDED_VARIANCE, SMOOTH
from bounds.notation import ell, eta, sigma
from bounds.quantities import decrease, gradient_norm_squared
from theorylab.method.rule import Drawn, Hyper, UpdateRule
from theorylab.problem.oracle import Oracle


class Ahead(NamedTuple):
    at: Tensor


@final
@dataclass(frozen=True)
class LookAhead(UpdateRule[Ahead]):
    """The mean of the gradients at w and at where half a step leads."""

    name: ClassVar[str] = "look_ahead"
    source: ClassVar[str] = "this test"
    eta: Hyper
    share: float = 0.5

    def init(self, w: Tensor, oracle: Oracle) -> Ahead:
        return Ahead(w)

    def update(self, w: Tensor, oracle: Oracle, state: Ahead, draw: Drawn):
        step = self.at(self.eta, draw.t)
        here = oracle.gradient(w)
        ahead = w - self.share * step * here
        return w - step * (here + oracle.gradient(ahead)) / 2, Ahead(ahead)

    def output(self, w: Tensor, state: Ahead) -> Tensor:
        return state.at


RULES = (LookAhead,)


def lemma(key, factor):
    return Statement(
        key=key, label="Lemma 1", form="printed",
        claim=Claim(decrease, "<=", factor * eta * (gradient_norm_squared + sigma**2)),
        assumptions=(SMOOTH, BOUNDED_VARIANCE), algorithm=Algorithm("look_ahead", {"eta": eta}),
    )


# F(w) - F(w') <= <grad, w - w'> + (ell/2)||w - w'||^2, and where noise is added to the gradient
# ||w - w'|| <= eta (1 + eta ell/4) ||g(w)||.
STATEMENTS = (
    lemma("ahead.at_most", (1 + eta * ell / 4) * (1 + eta * ell * (1 + eta * ell / 4) / 2)),
    lemma("ahead.wrong", 1e-3),
)
'''


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root: Path = tmp_path_factory.mktemp("site")
    (root / "ahead").mkdir()
    (root / "ahead" / "__init__.py").write_text(MODULE)
    info = root / "ahead-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ahead\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[theorylab.statements]\nahead = ahead\n[theorylab.rules]\nahead = ahead\n"
    )
    return os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}


def python(environment: dict[str, str], *arguments: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True,
                          text=True, cwd=cwd, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


LIBRARY = """
import copy, pickle
import numpy as np, torch, synthetic
from theorylab import run
from theorylab.engine.step import follow
from theorylab.plugins import registry
from theorylab.problem.oracle import MiniBatch
from theorylab.quantities import Experiment, protocol_for
from theorylab.torch.optim import LookAhead, optimizer

rule = registry.rule("look_ahead")(eta=0.2)
data = synthetic.robust_regression(n=3, dim=2)
eager, compiled = (run(data, rule, 6, replicas=4000, record=("w", "output.w"), compile=c)
                   for c in (False, True))
np.testing.assert_allclose(eager["w"], compiled["w"], rtol=1e-9)
assert (eager.evaluations == 12).all()

# The exact law: every path of a short run, against the mean over many sampled ones.
statement = registry.statement("ahead.at_most")
coin = synthetic.quadratic(dim=1, noise="two_point", sigma=1.0, start=2.0)
measured = protocol_for(statement).measure(Experiment(statement, coin, {"eta": 0.2, "ell": 1.0}))
assert measured.exact

assert LookAhead is optimizer(registry.rule("look_ahead"))
model = torch.nn.Linear(2, 1).double()
x = torch.randn(64, 2, dtype=torch.float64)
y = x @ torch.tensor([[1.0], [-2.0]], dtype=torch.float64)

def closure():
    model.zero_grad()
    loss = (model(x) - y).square().mean()
    loss.backward()
    return loss

descent = LookAhead(model.parameters(), lr=0.3, share=0.25)
first = descent.step(closure).item()
for _ in range(60):
    last = descent.step(closure).item()
assert last < 1e-3 * first, (first, last)
again = pickle.loads(pickle.dumps(descent))
assert type(again) is LookAhead
print("fine")
"""


def test_it_runs_compiles_is_enumerated_and_optimizes(
    environment: dict[str, str], tmp_path: Path
) -> None:
    assert python(environment, "-c", LIBRARY, cwd=tmp_path) == "fine\n"


def test_it_trains_a_network(environment: dict[str, str], tmp_path: Path) -> None:
    said = python(environment, "-m", "theorylab", "train", "--model", "two_conv", "--optimizer",
                  "look_ahead", "--lr", "0.1", "--set", "share=0.25", "--steps", "3",
                  "--out", "trained", "--json", cwd=tmp_path)  # fmt: skip
    assert "look_ahead" in said


def test_statements_about_it_are_judged(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "theorylab", "verify", "--paper", "ahead", "--objective",
         "quadratic", "--json", "--replicas", "64"],
        env=environment, capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    rows = json.loads(done.stdout)["results"]
    verdicts = {row["key"]: row["verdict"] for row in rows}
    assert verdicts["ahead.wrong"] == "violated"
    assert verdicts["ahead.at_most"] in ("holds", "not refuted", "vacuous")
