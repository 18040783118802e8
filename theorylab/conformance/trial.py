"""``Trial``: an optimizer at work on small least squares, every step's gradient known exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from theorylab.conformance.check import require
from theorylab.conformance.subject import Shape, Subject

__all__ = ["Problem", "Trial", "begin", "finite", "flat", "gap", "random", "require_same"]

_PRECISION = {
    torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 1e-2,
    torch.complex64: 1e-5, torch.complex128: 1e-6,
}  # fmt: skip


@final
@dataclass(frozen=True)
class Problem:
    """``f_t(w) = sum over i of a_i |w_i - c_i|^2 / 2 + <w, noise_t>``, times ``scale``.

    Attributes
    ----------
    shapes : tuple of tuple of int
        Of the parameters; each one's numbers depend on its place alone.
    dtype : torch.dtype
    device : str
    scale : float
        Every loss and gradient is multiplied by it.
    noise : float
        Size of the noise.
    sparse : bool
        Whether gradients are handed over as sparse tensors.
    absent : frozenset of int
        Places of the parameters that no loss depends on.
    """

    shapes: tuple[Shape, ...]
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    scale: float = 1.0
    noise: float = 0.3
    sparse: bool = False
    absent: frozenset[int] = field(default_factory=frozenset)

    def numbers(self, place: int, key: int) -> Tensor:
        """Normal numbers of one parameter's shape."""
        generator = torch.Generator().manual_seed(1000 * key + place)
        drawn = torch.randn(self.shapes[place], generator=generator, dtype=self._wide)
        return drawn.to(self.device, self.dtype)

    @property
    def _wide(self) -> torch.dtype:
        return torch.complex128 if self.dtype.is_complex else torch.float64

    def start(self) -> list[torch.nn.Parameter]:
        """The parameters at their start."""
        return [torch.nn.Parameter(self.numbers(k, 0)) for k in range(len(self.shapes))]

    def loss(self, params: Sequence[Tensor], step: int) -> Tensor:
        """The loss of a step, counted from 0."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for k, p in enumerate(params):
            if k in self.absent or not p.requires_grad:
                continue
            a = 0.5 + self.numbers(k, 1).abs() ** 2
            part = a * (p - self.numbers(k, 2)).abs().square() / 2
            noise = self.noise * self.numbers(k, 3 + step)
            linear = (p * noise.conj()).real if p.is_complex() else p * noise
            total = total + (part + linear).sum().double()
        return self.scale * total

    def backward(self, params: Sequence[Tensor], step: int) -> Tensor:
        """The loss of a step, its gradients left in the parameters."""
        for p in params:
            p.grad = None
        with torch.enable_grad():
            loss = self.loss(params, step)
            if loss.requires_grad:
                loss.backward()
        if self.sparse:
            for p in params:
                if p.grad is not None and p.ndim:
                    p.grad = p.grad.to_sparse(1)
        return loss.detach()

    def value(self, params: Sequence[Tensor]) -> float:
        """The loss without noise."""
        with torch.no_grad():
            return float(replace(self, noise=0.0).loss(params, 0))


@final
class Trial:
    """An optimizer, its parameters and the steps it has taken.

    Parameters
    ----------
    subject : Subject
    problem : Problem
    params : sequence of Parameter
    optimizer : Optimizer
    taken : int
    """

    def __init__(
        self, subject: Subject, problem: Problem, params: Sequence[Any],
        optimizer: Any, taken: int = 0,
    ) -> None:  # fmt: skip
        self.subject, self.problem = subject, problem
        self.params, self.optimizer, self.taken = list(params), optimizer, taken

    def closure(self) -> Callable[[], Tensor]:
        """That of the next step."""
        step, problem, params = self.taken, self.problem, self.params
        return lambda: problem.backward(params, step)

    def step(self, count: int = 1, then: Callable[[], object] | None = None) -> Trial:
        """Some steps; returns itself."""
        for _ in range(count):
            self.subject.step(self.optimizer, self.closure())
            self.taken += 1
            if then is not None:
                then()
        return self

    @property
    def weights(self) -> Tensor:
        """A copy of all weights, end to end."""
        return flat(self.params)

    @property
    def value(self) -> float:
        """The loss without noise, here."""
        return self.problem.value(self.params)

    def twin(self, optimizer: Any, params: Sequence[Any]) -> Trial:
        """Another optimizer of other parameters, as many steps on."""
        return Trial(self.subject, self.problem, params, optimizer, self.taken)

    def copied(self) -> Trial:
        """A deep copy, parameters and optimizer together."""
        params, optimizer = copy.deepcopy((self.params, self.optimizer))
        return self.twin(optimizer, params)


def begin(
    subject: Subject,
    *,
    grouped: Callable[[list[torch.nn.Parameter]], Any] = lambda params: params,
    shapes: tuple[Shape, ...] | None = None,
    arguments: dict[str, Any] | None = None,
    **problem: Any,
) -> Trial:
    """A fresh optimizer on a fresh problem.

    Parameters
    ----------
    subject : Subject
    grouped : callable
        Makes of the list of parameters what the optimizer is given.
    shapes : tuple, optional
        Of the parameters; those that the optimizer takes by default.
    arguments : dict, optional
        Changed arguments of the optimizer.
    **problem
        Of :class:`Problem`.
    """
    torch.manual_seed(0)
    posed = Problem(shapes or subject.traits.shapes, sparse=subject.traits.sparse, **problem)
    params = posed.start()
    optimizer = subject.build(grouped(params), **(arguments or {}))
    return Trial(subject, posed, params, optimizer)


def random(subject: Subject) -> bool:
    """Whether it draws at random: two seeds give other weights."""

    def run(torchs: int, **arguments: Any) -> Tensor:
        trial = begin(subject, arguments=arguments)
        torch.manual_seed(torchs)
        return trial.step(5).weights

    if not torch.equal(run(1), run(2)):
        return True
    if isinstance(subject.value("seed") if "seed" in subject.arguments else None, int):
        return not torch.equal(run(1), run(1, seed=subject.value("seed") + 1))
    return False


def flat(params: Sequence[Tensor]) -> Tensor:
    """Copies of the parameters, end to end."""
    return torch.cat([p.detach().clone().reshape(-1) for p in params])


def finite(tensor: Tensor) -> bool:
    """Whether no entry is infinite or not a number."""
    return bool(torch.isfinite(tensor).all())


def gap(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest entry; infinite beside a NaN."""
    if not finite(one) or not finite(other):
        return float("inf")
    if one.numel() == 0:
        return 0.0
    size = torch.maximum(one.abs().max(), other.abs().max()).clamp_min(1e-12)
    return float((one - other).abs().max() / size)


def require_same(one: Tensor, other: Tensor, what: str, tolerance: float | None = None) -> None:
    """Require equal weights: up to rounding, or to the bit where the tolerance is 0."""
    allowed = _PRECISION[one.dtype] if tolerance is None else tolerance
    found = gap(one, other.to(one.dtype))
    require(found <= allowed, f"required the same weights as {what}; they differ by {found:.2g} "
                              "of their size")  # fmt: skip
