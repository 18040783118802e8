"""Who else wants to know of an optimizer's steps: hooks, profilers and compilers.

Torch wraps every class's step to tell them. Entering a profiler's record at every step takes as
long as the step of a small network, so our steps look first whether anyone is there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import _profiler_enabled
from torch.optim.optimizer import _global_optimizer_post_hooks as _after
from torch.optim.optimizer import _global_optimizer_pre_hooks as _before

__all__ = ["as_torch_does", "uncompiled", "watched"]


def watched(optimizer: torch.optim.Optimizer) -> bool:
    """Whether hooks or a profiler want to know of steps."""
    return bool(
        optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
        or _before or _after or _profiler_enabled()
    )  # fmt: skip


@torch.compiler.disable  # type: ignore[untyped-decorator]
def uncompiled(optimizer: Any, closure: Any, full: Any) -> Any:
    """The step, left out of what is compiled."""
    return optimizer.step(closure, full)


def _plain_step(optimizer: Any, closure: Any, full: Any) -> Any:
    return optimizer._step(closure, full)


as_torch_does = torch.optim.Optimizer.profile_hook_step(_plain_step)
"""The step between its hooks, and in a profiler's record."""
