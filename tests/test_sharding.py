"""Parameters of which every process holds a part: right to rounding, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_optimizers import EVERY, WORLD, alone, work

from theorylab.torch import optim as torch_optim
from theorylab.torch.shards import refuse_hidden, shards_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

# Why a method is refused where its parameters are cut.
CUT = {
    "StochasticBatchSize1": "a number for each coordinate",
    "StochasticBatchSize2": "a number for each coordinate",
    "EntropySGD": "a number for each coordinate",
    "TwoPointZerothOrder": "a number for each coordinate",
    "TopKSGD": "all parameters in one place",
    "Alternating": "all parameters in one place",
    "LRSGD_R unseeded": "give seed",
}
# Methods that treat every coordinate by itself, which parts that look whole do not disturb.
BY_COORDINATE = {
    "SGD", "MSGD", "Nesterov", "Adam", "AMSGrad", "AdamW", "RMSprop", "SignSGD", "ReshuffledSGD",
    "AveragedSGD", "AcceleratedSGD", "OptimizedGradient", "torch SGD", "torch Adam",
}  # fmt: skip


def in_two_processes(kind: str, tmp_path: Path) -> Any:
    torch.multiprocessing.spawn(work, (kind, list(EVERY), str(tmp_path)), nprocs=WORLD)
    return torch.load(tmp_path / "found.pt", weights_only=True)


@pytest.mark.slow
def test_fully_sharded_steps_are_those_of_one_process(tmp_path: Path) -> None:
    found = in_two_processes("fully_shard", tmp_path)
    refused = {case: each["refused"] for case, each in found.items() if "refused" in each}
    assert refused.keys() == CUT.keys()
    for case, why in CUT.items():
        assert why in refused[case]
        assert "\n" not in refused[case]
    for case in EVERY.keys() - CUT.keys():
        wanted = alone(case)
        for what, weights in found[case].items():
            off = float((weights - wanted).abs().max())
            assert off < 1e-11, (case, what, off)


@pytest.mark.slow
def test_what_zero_redundancy_would_normalise_by_parts_is_refused(tmp_path: Path) -> None:
    found = in_two_processes("zero", tmp_path)
    for case, each in found.items():
        if case not in BY_COORDINATE:
            assert "ZeroRedundancyOptimizer gives each process some" in each["refused"]
            continue
        torch.testing.assert_close(each["weights"], alone(case), rtol=1e-11, atol=1e-12)


def test_flattened_parameters_are_refused_where_norms_are_taken() -> None:
    for name in ("_fsdp_flattened", "_is_flat_param"):
        p = torch.nn.Parameter(torch.ones(3))
        setattr(p, name, True)
        torch_optim.Adam([p])
        with pytest.raises(ValueError, match="SNGM: FullyShardedDataParallel gives each process"):
            torch_optim.SNGM([p], 0.1)


def test_whole_parameters_are_nobodys_parts() -> None:
    whole = [torch.ones(2), torch.ones(3)]
    assert shards_of("SGD", whole) is None
    refuse_hidden("SGD", whole, lambda: False)
