"""Small finite sums for the twins' tests, apart from the registered ones."""

from typing import Any

import numpy as np
import torch

from theorylab.problem.objective import Constant, FiniteSum


class Robust(FiniteSum):
    """Geman-McClure regression; its samples can be moved, on a ball of fixed radius."""

    name = "robust"

    def __init__(self, n: Any = 40, dim: Any = 4, seed: Any = 0, table: Any = None) -> None:
        rng = np.random.default_rng(seed)
        if table is None:
            table = rng.standard_normal((n, dim + 1))
            table /= np.linalg.norm(table, axis=1, keepdims=True)
        self.table = torch.as_tensor(table, dtype=torch.float64)
        self.start = torch.zeros(self.table.shape[1] - 1, dtype=torch.float64)
        self.parameters = {"n": n, "dim": dim}

    @property
    def n(self) -> Any:
        return len(self.table)

    def resize(self, n: Any, seed: Any = 0) -> Any:
        return Robust(n, self.dim, seed)

    def replacement(self, seed: Any, pairs: Any) -> Any:
        rng = np.random.default_rng([seed, 1])
        fresh = rng.standard_normal((pairs, self.dim + 1))
        fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
        return rng.integers(0, self.n, size=pairs), self.with_replacements(torch.from_numpy(fresh))

    def sample(self, index: Any) -> Any:
        return self.table[index]

    def admissible(self, x: Any) -> Any:
        return x / x.norm(dim=-1, keepdim=True).clamp_min(1)

    def with_replacements(self, x: Any) -> Any:
        return Robust(table=torch.cat([self.table, x]))

    def sample_loss(self, w: Any, x: Any) -> Any:
        z = (w * x[..., :-1]).sum(-1) - x[..., -1]
        return 0.5 * z * z / (1 + z * z)

    def sample_value(self, w: Any, draw: Any) -> Any:
        return self.sample_loss(w.unsqueeze(-2), self.table[draw])

    def value(self, w: Any) -> Any:
        return self.sample_loss(w.unsqueeze(-2), self.table).mean(-1)

    def gradient(self, w: Any) -> Any:
        index = torch.arange(self.n).expand(len(w), -1)
        return self.sample_gradient(w, index)

    def sample_gradient(self, w: Any, draw: Any) -> Any:
        x = self.table[draw]
        z = (w.unsqueeze(-2) * x[..., :-1]).sum(-1) - x[..., -1]
        return (x[..., :-1] * (z / (1 + z * z) ** 2).unsqueeze(-1)).mean(-2)

    def constants(self) -> Any:
        values = {"ell": 1.0, "delta": 0.25, "G": 0.33, "Bf": 0.5, "n": float(self.n)}
        return {k: Constant(v, "closed form") for k, v in values.items()}

    def sample_constants(self) -> Any:
        return self.constants()
