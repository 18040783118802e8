"""``skeleton``: a package of one's own: statement, method, objective, quantity, and their tests."""

from __future__ import annotations

import keyword
import shutil
import sys
from pathlib import Path

from theorylab import __version__
from theorylab.errors import UsageError
from theorylab.plugins.files import write_text

__all__ = ["skeleton"]

_TAKEN = ("bounds", "deep", "paper_figures", "synthetic", "theorylab")

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{dashed}"
version = "0.1.0"
description = "Statements, methods, objectives and quantities for theorylab."
requires-python = ">=3.11"
dependencies = ["theorylab>={version}"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points."theorylab.statements"]
{name} = "{name}.statements"

[project.entry-points."theorylab.rules"]
{name} = "{name}.method"

[project.entry-points."theorylab.objectives"]
{name} = "{name}.objective"

[project.entry-points."theorylab.quantities"]
{name} = "{name}.quantity"

[tool.setuptools.packages.find]
where = ["src"]
"""

_README = """\
# {name}

    pip install -e '.[test]'
    theorylab statements {name}.theorem_1
    theorylab verify {name}.theorem_1
    python -m pytest

In `src/{name}`, change to yours, or leave out with its entry point in `pyproject.toml`:

- `statements.py`: the claim
- `method.py`: the method that it is about
- `objective.py`: an objective, which every command tries on the statements that it suits
- `quantity.py`: a measured quantity that a claim may be about
"""

_INIT = '''\
"""Statements, methods, objectives and quantities for theorylab, found by entry point."""
'''

_METHOD = '''\
"""A method: one step, written once against an oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule
from theorylab.problem.oracle import Oracle

__all__ = ["RULES", "{camel}"]


@final
@dataclass(frozen=True)
class {camel}(UpdateRule[Stateless]):
    """Gradient descent on mini-batches: ``w <- w - eta g``. Put your update here."""

    name: ClassVar[str] = "{name}"
    source: ClassVar[str] = "your paper, Algorithm 1"

    eta: Hyper

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        return w - self.at(self.eta, draw.t) * oracle.gradient(w), state


RULES = ({camel},)
'''

_OBJECTIVE = '''\
"""An objective, its constants certified, and the family of those that a search may try."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from synthetic.deterministic import Deterministic
from theorylab import Constant
from theorylab.problem.objective import Family, Parameter

__all__ = ["FAMILIES", "LogCosh"]


@final
class LogCosh(Deterministic):
    """``F(w) = sum_j log cosh(w_j)``, without noise."""

    name = "{name}_log_cosh"

    def __init__(self, dim: int = 3) -> None:
        self.start = torch.full((dim,), 2.0, dtype=torch.float64)
        self.parameters = {{"dim": dim}}

    def value(self, w: Tensor) -> Tensor:
        return (w.abs() + torch.log1p(torch.exp(-2 * w.abs())) - math.log(2)).sum(-1)

    def gradient(self, w: Tensor) -> Tensor:
        return torch.tanh(w)

    def minimum(self) -> float:
        return 0.0

    def deterministic_constants(self) -> Mapping[str, Constant]:
        return {{"ell": Constant(1.0, "closed form", attained=True)}}


# A name, what builds one, what a search may move, and the instances that `verify` tries.
FAMILIES = (
    Family("{name}_log_cosh", LogCosh, (Parameter("dim", 1, 20, integer=True),), ({{"dim": 2}},)),
)
'''

_QUANTITY = '''\
"""A measured quantity: a functional of a path, its formula, its units."""

from __future__ import annotations

from bounds import Measured
from bounds.path import PathOf
from bounds.units import Units

__all__ = ["QUANTITIES", "worst_value"]

worst_value = Measured(
    "{name}_worst_value",
    "max_t F(w_t)",
    Units(F=1),
    r"\\max_t F(w_t)",
    path=PathOf("max", "value", "0..T"),
)

QUANTITIES = (worst_value,)
'''

_STATEMENTS = '''\
"""The statements: ``theorylab symbols``, ``quantities`` and ``assumptions`` list the words."""

from __future__ import annotations

from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import BOUNDED_BELOW, BOUNDED_VARIANCE, SMOOTH
from bounds.notation import B, Delta, T, ell, eta, sigma
from bounds.quantities import mean_gradient_norm_squared

__all__ = ["STATEMENTS", "theorem_1"]

theorem_1 = Statement(
    key="{name}.theorem_1",
    label="Theorem 1",
    form="printed",
    claim=Claim(mean_gradient_norm_squared, "<=", 2 * Delta / (eta * T) + ell * eta * sigma**2 / B),
    assumptions=(SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE),
    algorithm=Algorithm("{name}", {{"eta": eta}}),
    conditions=(Condition(eta, "<=", 1 / ell),),
    text="The mean squared gradient of T steps, up to the noise.",
)

STATEMENTS = (theorem_1,)
'''

_TEST = '''\
"""What is true is not refuted, what is false beside it is; certificates stand an attack."""

from __future__ import annotations

from dataclasses import replace

import synthetic
import theorylab
from bounds import Claim
from bounds.notation import Delta
from theorylab.plugins import registry

from {name}.objective import LogCosh
from {name}.quantity import worst_value
from {name}.statements import theorem_1

BOWL = synthetic.quadratic(dim=2, noise="two_point", sigma=1.0)


def test_it_is_registered() -> None:
    assert registry.statement("{name}.theorem_1") is theorem_1
    assert "{name}" in registry.rules()
    assert "{name}_log_cosh" in registry.families()


def test_it_holds_on_a_quadratic() -> None:
    assert theorylab.check(theorem_1, BOWL, replicas=64).verdict == "holds"


def test_a_quarter_of_the_bound_is_refuted() -> None:
    claim = Claim(theorem_1.claim.lhs, "<=", theorem_1.claim.rhs / 4)
    assert theorylab.check(replace(theorem_1, claim=claim), BOWL, replicas=64).verdict == "violated"


def test_the_objectives_certificates_stand_an_attack() -> None:
    assert not any(reach.broken for reach in synthetic.attack(LogCosh(), points=8, steps=10))


def test_the_quantity_is_measured() -> None:
    for factor, verdict in ((1, "holds"), (0.9, "violated")):
        claim = Claim(worst_value, "<=", factor * Delta)  # from F(w_0), downhill
        assert theorylab.check(replace(theorem_1, claim=claim), LogCosh()).verdict == verdict
'''


def skeleton(name: str, folder: Path | str = ".") -> Path:
    """Write the skeleton of a package called ``name`` into a new folder of that name.

    Parameters
    ----------
    name : str
        A Python identifier in lower case; anything else is refused, so nothing is ever written
        outside ``folder``.
    folder : path
        Where the new folder goes.

    Returns
    -------
    Path
        The new folder.

    Raises
    ------
    UsageError
        If the name is no such identifier, is taken by Python or theorylab, or there is already
        something of that name.

    Examples
    --------
    >>> import tempfile
    >>> made = skeleton("mytheory", tempfile.mkdtemp())
    >>> sorted(p.name for p in made.rglob("*.py"))
    ['__init__.py', 'method.py', 'objective.py', 'quantity.py', 'statements.py', 'test_mytheory.py']
    >>> skeleton("../elsewhere")
    Traceback (most recent call last):
    theorylab.errors.UsageError: new: a name is a Python identifier in lower case, as my_theory; \
got '../elsewhere'
    """
    if not (name.isascii() and name.isidentifier() and name == name.lower()) or name[0] == "_":
        raise UsageError(
            f"new: a name is a Python identifier in lower case, as my_theory; got {name!r}"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in (
        *_TAKEN, *sys.stdlib_module_names
    ):  # fmt: skip
        raise UsageError(f"new: {name} is taken by Python or theorylab; choose another name")
    from theorylab.plugins import registry  # which loads every plug-in there is

    if name in registry.rules() or name in {s.paper for s in registry.statements().values()}:
        raise UsageError(f"new: {name} is registered already; choose another name")
    root = Path(folder) / name
    camel = "".join(part.capitalize() for part in name.split("_") if part)
    words = {
        "name": name, "dashed": name.strip("_").replace("_", "-"), "camel": camel,
        "version": __version__,
    }  # fmt: skip
    files = {
        "pyproject.toml": _PYPROJECT, "README.md": _README, f"src/{name}/__init__.py": _INIT,
        f"src/{name}/method.py": _METHOD, f"src/{name}/statements.py": _STATEMENTS,
        f"src/{name}/objective.py": _OBJECTIVE, f"src/{name}/quantity.py": _QUANTITY,
        f"tests/test_{name}.py": _TEST,
    }  # fmt: skip
    try:
        root.mkdir()  # follows no link, and takes nothing that is there
    except FileExistsError:
        raise UsageError(f"new: {root} exists already; nothing was written") from None
    try:
        for place, text in files.items():
            write_text(root / place, text.format(**words))
    except BaseException:  # a full disk: half a package would stand in the way of the next try
        shutil.rmtree(root, ignore_errors=True)
        raise
    return root
