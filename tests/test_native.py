"""Operations as C: each is what torch computes, for any row, any number of rows and threads."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch

import synthetic
import theorylab.engine.native.kernel as kernels
from theorylab import run
from theorylab.engine import streams
from theorylab.engine.native import draws, products
from theorylab.engine.streams import spread
from theorylab.errors import UsageError
from theorylab.method import SGD, SNGM, SVRG
from theorylab.method.rule import Draw, UpdateRule, select
from theorylab.problem.sampler import Importance

pytestmark = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc")) is None, reason="compiling needs a C compiler"
)
D = 5
TABLE = torch.arange(1.0, 1 + D * D, dtype=torch.float64).reshape(D, D).cos()
EDGES = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)
PLACES = torch.tensor([3, -1, 0, 0, 2])


@dataclass(frozen=True)
class Applied(UpdateRule):
    """``w <- f(w)``."""

    name: ClassVar[str] = "applied"
    source: ClassVar[str] = "this test"
    f: Callable[[torch.Tensor], torch.Tensor]

    def update(self, w: Any, oracle: Any, state: Any, draw: Any) -> Any:
        return self.f(w), state


class Two(NamedTuple):
    """Where the last two rounds began."""

    first: torch.Tensor
    second: torch.Tensor


@dataclass(frozen=True)
class Chained(UpdateRule):
    """Towards where the round before the last began."""

    name: ClassVar[str] = "chained"
    source: ClassVar[str] = "this test"

    def init(self, w: Any, oracle: Any) -> Any:
        return Two(w, w + 1)

    def restarts(self, rng: Any, first: int, steps: int, replicas: int) -> Any:
        return rng.random((steps, replicas)) < 0.3

    def update(self, w: Any, oracle: Any, state: Any, draw: Any) -> Any:
        second = select(draw.restart, state.first, state.second)
        first = select(draw.restart, w, state.first)
        return w - 0.1 * (oracle.gradient(w) + w - second), Two(first, second)


def _scattered(w: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(w).scatter_add(-1, (PLACES % D).expand_as(w), w)


OPERATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "elementwise": lambda w: (w.abs() + 1).log1p() * w.tanh() - w.exp().rsqrt() + w.sigmoid(),
    "trigonometry": lambda w: w.sin().asin() + w.cos() * torch.atan2(w, w + 3) + w.erf(),
    "powers": lambda w: w**3 + 2.0**w + (w.abs() + 1) ** -2.5 + w**2 + w.sign(),
    "rounding": lambda w: (3 * w).round() + (3 * w).floor() + w.ceil() + torch.remainder(w, 0.3),
    "comparisons": lambda w: torch.where((w > 0) & ~(w > 1) | (w == w.amax(-1, True)), w, -w),
    "extremes": lambda w: w.clamp(-0.5, 0.7) + torch.maximum(w, w.flip(-1) * 2) + w.amin(-1, True),
    "nan": lambda w: torch.where(w > 0, w, torch.nan).clamp_min(0.1).nan_to_num(7.0),
    "norms": lambda w: w / w.norm(dim=-1, keepdim=True) + w.abs().sum(-1, True)
    + torch.linalg.vector_norm(w, torch.inf, -1, True),
    "means": lambda w: w - w.mean(-1, True) + w.var(-1, keepdim=True) + w.std(-1, keepdim=True),
    "softmax": lambda w: w.softmax(-1) + w.log_softmax(-1) + w.logsumexp(-1, True),
    "order": lambda w: w.sort(-1).values + w.sort(-1, descending=True).values.cumsum(-1),
    "largest": lambda w: w * w.topk(2, -1).values.sum(-1, True) + w.argmax(-1, True),
    "products": lambda w: w @ TABLE + w @ TABLE.T + (w[:, None] * TABLE).sum(-1),
    "parts": lambda w: torch.cat([w[:, 3:], *w[:, :3].split(2, -1)], -1) + w.unbind(-1)[1][:, None],
    "picked": lambda w: w[:, PLACES] + w.index_select(-1, PLACES % D) + TABLE[1, PLACES],
    "gathered": lambda w: w.gather(-1, torch.bucketize(w, EDGES)) + w.roll(1, -1),
    "scattered": _scattered,
    "in place": lambda w: w.clone().mul_(2).add_(w).square_(),
    "any": lambda w: w * (w > 1).any(-1, True) + (w > -1).all(-1, True),
    "matrices": lambda w: torch.einsum("ri,ij,rj->r", w, TABLE, w)[:, None] + w,
    "several axes": lambda w: (w[:, :, None] * w[:, None] * TABLE).sum((1, 2))[:, None] + w,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_what_torch_computes(name: str, dtype: torch.dtype) -> None:
    f = OPERATIONS[name]
    objective = synthetic.robust_regression(n=9, dim=D, dtype=dtype)
    start = torch.from_numpy(np.random.default_rng(0).normal(size=(11, D))).to(dtype)
    rule = Applied(lambda w: f(w.double()).to(dtype))
    eager, native = (run(objective, rule, 1, replicas=11, start=start, record=("w",),
                         compile=compile)["w"] for compile in (False, True))  # fmt: skip
    np.testing.assert_allclose(native, eager, rtol=1e-6 if dtype == torch.float32 else 1e-12)
    assert not np.array_equal(native, start)


def test_an_index_out_of_range_is_said() -> None:
    objective = synthetic.robust_regression(n=9, dim=D)
    far = Applied(lambda w: 10 * w.gather(-1, w.long()))
    start = torch.ones(3, D, dtype=torch.float64)
    with pytest.raises(UsageError, match="out of range"):
        run(objective, far, 3, replicas=3, start=start, compile=True)


def test_what_has_no_c_is_named() -> None:
    objective = synthetic.robust_regression(n=9, dim=D)
    with pytest.raises(UsageError, match=r"cannot compile applied .*no C for aten\.lgamma"):
        run(objective, Applied(torch.lgamma), 1, replicas=3, compile=True)


@pytest.mark.parametrize("n", [2, 3, 1000, 1024, 2**30 + 7, 3 * 2**29 + 1, 2**31 - 1, 2**31])
def test_fast_draws_are_numpys(n: int) -> None:
    """Also where many numbers are rejected, and where a half is left over from the last call."""
    assert draws._native() is not None
    fast, plain = (make(np.random.SFC64(n)) for make in (draws.FastGenerator, np.random.Generator))
    for size in (1024, (5, 128, 3), 1, (11, 257), 4096):
        ours, theirs = (g.integers(0, n, size=size, dtype=np.int32) for g in (fast, plain))
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(*(g.random(size) for g in (fast, plain)))
    assert str(fast.bit_generator.state) == str(plain.bit_generator.state)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 7])
def test_uniform_numbers_of_several_blocks_are_numpys(width: int, dtype: Any) -> None:
    """Of every number of blocks, the last one's rows cut off, and the state after them."""
    per: Any = "run" if width == 1 else "coordinate"
    draw = Draw("chi", "uniform", per)
    for size in (1, 128, 300, 387, 512, 513, 900):
        many = streams.blocks(size)
        fast, plain = ([streams.generator(3, b, 3, fast) for b in range(many)]
                       for fast in (True, False))  # fmt: skip
        for steps in (2, 3):
            ours = streams.rule_draws(draw, steps, width, fast, size, 1, np.dtype(dtype))
            theirs = np.concatenate([g.random((steps, 128, width)) for g in plain], 1)[:, :size]
            np.testing.assert_array_equal(ours, theirs.astype(dtype))
        twice = streams.rule_draws(draw, 1, width, fast, 2 * size, 2, np.dtype(dtype))
        again = np.concatenate([g.random((1, 128, width)) for g in plain], 1)[:, :size]
        np.testing.assert_array_equal(twice, again.astype(dtype).repeat(2, axis=1))
        for a, b in zip(fast, plain, strict=True):
            assert str(a.bit_generator.state) == str(b.bit_generator.state)


def test_compiled_runs_draw_as_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is a sum of its samples' numbers: alike only if the samples are."""
    counted = []
    fast = draws._Native.integers
    monkeypatch.setattr(draws._Native, "integers", lambda *a: counted.append(a) or fast(*a))
    objective = synthetic.robust_regression(n=997, dim=D)
    eager, native = (run(objective, SGD(eta=0.1), 40, 3, replicas=300, record=("w",),
                         compile=compile)["w"] for compile in (False, True))  # fmt: skip
    np.testing.assert_allclose(native, eager, rtol=1e-12)
    assert len(counted) == 3


@pytest.mark.parametrize("dim", [2, 4, 8, 10, 33])
def test_every_width_of_vectors(dim: int) -> None:
    objective = synthetic.robust_regression(n=30, dim=dim)
    eager, native = (run(objective, SNGM(eta=0.1, beta=0.9), 30, 3, replicas=5, record=("w",),
                         compile=compile)["w"] for compile in (False, True))  # fmt: skip
    np.testing.assert_allclose(native, eager, rtol=1e-9)


@pytest.mark.usefixtures("two_threads")
def test_work_that_fails_in_a_thread_is_said() -> None:
    def fail(part: int) -> int:
        if part == 3:
            raise UsageError("the third")
        return part

    assert spread(abs, [-1, -2, -3], 1 << 30) == [1, 2, 3]
    with pytest.raises(UsageError, match="the third"):
        spread(fail, range(5), 1 << 30)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_threads_do_not_show(compile: bool) -> None:
    objective = synthetic.robust_regression(n=50, dim=20)
    rule = SNGM(eta=0.1, beta=0.9)
    options: dict[str, Any] = {"replicas": 2000, "record": ("w",), "compile": compile}
    both = run(objective, rule, 200, 8, **options)["w"]
    torch.set_num_threads(1)
    np.testing.assert_array_equal(run(objective, rule, 200, 8, **options)["w"], both)


def test_code_is_kept_between_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def once() -> None:
        objective = synthetic.robust_regression(n=9, dim=D)
        run(objective, SGD(eta=0.123), 2, replicas=2, compile=True)

    once()
    (kept,) = (tmp_path / "theorylab" / "kernels").glob("*.so")
    monkeypatch.setenv("PATH", "")  # no compiler is asked again
    monkeypatch.setenv("CC", "cc")
    before = kept.stat().st_mtime_ns
    once()
    assert kept.stat().st_mtime_ns == before


def test_other_probabilities_are_other_weights() -> None:
    """The same code serves both samplers; a first run's weights must not stay in it."""
    objective = synthetic.robust_regression(n=4, dim=D)
    for chances in ((0.1, 0.2, 0.3, 0.4), (0.4, 0.3, 0.2, 0.1)):
        eager, native = (run(objective, SGD(eta=0.1), 20, 2, replicas=3, record=("w",),
                             sampler=Importance(chances), compile=compile)["w"]
                         for compile in (False, True))  # fmt: skip
        np.testing.assert_allclose(native, eager, rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_full_pass_costs_a_row_what_it_needs(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Matrix products are padded to a height for their bits' sake; a row of C needs no others."""
    written = []
    compile = kernels.library
    monkeypatch.setattr(kernels, "library", lambda *a: written.append(a[0]) or compile(*a))
    objective = synthetic.robust_regression(n=31, dim=D)
    eager, native = (run(objective, SVRG(eta=0.1, S=3), 7, 2, replicas=rows, record=("w",),
                         compile=compile)["w"] for compile in (False, True))  # fmt: skip
    np.testing.assert_allclose(native, eager, rtol=1e-12)
    lengths = [int(n) for text in written for n in re.findall(r"i\d+ < (\d+);", text)]
    assert max(lengths) == 31


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("n", "dim"), [(569, 16), (700, 43)])
def test_rows_share_a_full_pass(
    monkeypatch: pytest.MonkeyPatch, n: int, dim: int, dtype: torch.dtype
) -> None:
    """The table is read for many rows at once; a row's bits are those it has alone."""
    written = []
    compile = kernels.library
    monkeypatch.setattr(kernels, "library", lambda *a: written.append(a[0]) or compile(*a))
    monkeypatch.setattr(streams, "_PARALLEL", 0)
    objective = synthetic.robust_regression(n=n, dim=dim, dtype=dtype)
    rule = SVRG(eta=0.1, S=2, anchor="mean")

    def ends(rows: int, compile: bool = True) -> np.ndarray:
        return run(objective, rule, 5, 2, replicas=rows, record=("w",), compile=compile)["w"][0]

    whole = ends(45)
    assert any("product_" in text.partition("int64_t run(")[2] for text in written)
    np.testing.assert_allclose(whole, ends(45, compile=False),
                               rtol=1e-4 if dtype == torch.float32 else 1e-12)  # fmt: skip
    for rows in (1, 2, 7, 12, 33):
        np.testing.assert_array_equal(ends(rows), whole[:rows])
    torch.set_num_threads(1)
    np.testing.assert_array_equal(ends(45), whole)


@pytest.mark.parametrize("most", [0, 600 * 16])
def test_more_than_may_be_copied_is_read_by_each_row(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(products, "_MOST", most)
    objective = synthetic.robust_regression(n=700, dim=16)
    eager, native = (run(objective, SVRG(eta=0.1, S=2), 3, 2, replicas=5, record=("w",),
                         compile=compile)["w"] for compile in (False, True))  # fmt: skip
    np.testing.assert_allclose(native, eager, rtol=1e-12)


def test_a_table_in_panels_gives_its_products() -> None:
    """Of every number of columns beside a vector's, and of rows beside those taken at once."""
    for rows, columns in ((64, 64), (70, 97), (128, 33), (90, 49)):
        table = torch.from_numpy(np.random.default_rng(rows).normal(size=(rows, columns)))
        square = table @ table.T
        rule = Applied(lambda w, table=table: w @ table @ table.T)  # type: ignore[misc]
        objective = synthetic.robust_regression(n=9, dim=rows)
        start = torch.eye(rows, dtype=torch.float64)[:35]
        native = run(objective, rule, 1, replicas=35, start=start, record=("w",), compile=True)
        np.testing.assert_allclose(native["w"][0], square[:35], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("dim", [13, 271])
def test_sums_of_every_length(dim: int, dtype: torch.dtype) -> None:
    """Of whole vectors side by side, of those left over, of half ones, and of single numbers."""
    objective = synthetic.robust_regression(n=3, dim=dim, dtype=dtype)
    start = 2.0 ** torch.arange(dim).remainder(7).to(dtype).expand(3, dim)  # exact in any order
    lengths = [k for k in (2, 3, 5, 12, 31, 33, 68, 131, 200, dim) if k <= dim]

    def added(w: torch.Tensor) -> torch.Tensor:
        parts = [w[:, :k] for k in lengths]
        sums = [x.sum(-1, True) for part in parts for x in (part, part * part)]
        return torch.cat([*sums, w[:, len(sums) :]], -1)

    eager, native = (run(objective, Applied(added), 1, replicas=3, start=start, record=("w",),
                         compile=compile)["w"] for compile in (False, True))  # fmt: skip
    np.testing.assert_array_equal(native, eager)


def test_what_is_computed_twice_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """SVRG's two gradients are of the same samples, so each is looked up once."""
    written = []
    compile = kernels.library
    monkeypatch.setattr(kernels, "library", lambda *a: written.append(a[0]) or compile(*a))
    objective = synthetic.robust_regression(n=9, dim=3)
    run(objective, SVRG(eta=0.1, S=2), 3, 1, replicas=2, compile=True)
    # In the table, and in what it is compared with.
    assert [text.count("= place(") for text in written] == [2, 2]


@pytest.mark.usefixtures("two_threads")
def test_torch_keeps_no_core_busy_that_rows_are_stepped_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads look for work for a while after what they were woken for."""
    found = {}
    init = SVRG.init

    def noted(rule: SVRG, w: torch.Tensor, oracle: Any) -> Any:
        found[len(w)] = torch.get_num_threads()
        return init(rule, w, oracle)

    monkeypatch.setattr(SVRG, "init", noted)
    objective = synthetic.robust_regression(n=9, dim=3)
    for compile, threads in ((True, 1), (False, 2)):
        run(objective, SVRG(eta=0.1, S=2), 3, 1, replicas=7, compile=compile)
        assert found[7] == threads
        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_rounds_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread takes its rows through all rounds, in tiles of any height."""
    monkeypatch.setattr(streams, "_PARALLEL", 0)
    called = []
    spread = kernels.spread
    monkeypatch.setattr(kernels, "spread", lambda *a: called.append(1) or spread(*a))
    objective = synthetic.robust_regression(n=30, dim=3)

    def ends() -> np.ndarray:
        called.clear()
        return run(objective, SVRG(eta=0.1, S=2), 20, 1, replicas=300, record=("w",),
                   compile=True)["w"]  # fmt: skip

    whole = ends()
    assert len(called) == 2  # the second kernel is made when it is first met
    monkeypatch.setattr(kernels, "_TURNS", 1)
    np.testing.assert_array_equal(ends(), whole)


def test_what_a_flag_chooses_is_as_it_was() -> None:
    """Entries that a flag replaces by an input, and that another such entry reads, as they were."""
    objective = synthetic.robust_regression(n=9, dim=D)
    eager, native = (run(objective, Chained(), 12, 1, replicas=40, record=("w", "state.second"),
                         at=range(13), compile=compile) for compile in (False, True))  # fmt: skip
    for name in ("w", "state.second"):
        np.testing.assert_allclose(native[name], eager[name], rtol=1e-12)


def test_a_folder_that_others_write_to_gives_no_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    shared = tmp_path / "theorylab" / "kernels"
    shared.mkdir(parents=True)
    shared.chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run(synthetic.robust_regression(n=9, dim=D), SGD(eta=0.321), 2, replicas=2, compile=True)
    assert not list(shared.iterdir())


def test_loops_are_joined_only_where_numbers_are_at_hand() -> None:
    """What is read elsewhere in a vector must have been written before."""
    objective = synthetic.robust_regression(n=9, dim=D)

    def shifted(w: torch.Tensor) -> torch.Tensor:
        a = w.exp()
        b = a + a.flip(-1)
        c = b * a + b.roll(1, -1)
        return c - b.flip(-1) + c.roll(2, -1) * w

    start = torch.from_numpy(np.random.default_rng(1).normal(size=(11, D)))
    eager, native = (run(objective, Applied(shifted), 1, replicas=11, start=start, record=("w",),
                         compile=compile)["w"] for compile in (False, True))  # fmt: skip
    np.testing.assert_allclose(native, eager, rtol=1e-12)
