"""The papers' printed numbers: a sample by hand, shapes, ranges, own repeats."""

from collections import Counter
from typing import Any

import pytest

from paper_figures.published import PAPERS, printed, tables
from theorylab.errors import UnknownNameError

# Read off the papers' pages by eye, corners and middles of every table.
BY_HAND = [
    ("tralgo", "table_1", "SGD", "CIFAR10/ResNet18", 0.9467),
    ("tralgo", "table_1", "TRSGD", "CIFAR10/ResNet101", 0.9560),
    ("tralgo", "table_1", "Adam", "CIFAR100/ResNet101", 0.6918),
    ("tralgo", "table_1", "TRAdam", "CIFAR100/DenseNet121", 0.7773),
    ("tralgo", "table_2", "GT", "Per-pixel acc.", 0.70),
    ("tralgo", "table_2", "TRAdam", "Per-pixel acc.", 0.66),
    ("tralgo", "table_3", "Adam", "Per-class acc.", 0.31),
    ("tralgo", "table_3", "TRAdam", "Class IOU", 0.22),
    ("tralgo", "table_4", "SGD", "2", 0.8569),
    ("tralgo", "table_4", "TRSGD", "128", 0.9361),
    ("tralgo", "table_5", "TRSGD", "1", 0.9499),
    ("tralgo", "table_5", "TRSGD", "50", 0.9472),
    ("lrsgd", "table_1", "SGD", "LeNet", 75.09),
    ("lrsgd", "table_1", "LRSGD-R", "VGG16", 92.66),
    ("lrsgd", "table_1", "LRSGD-C", "ResNet18", 95.63),
    ("sngm", "table_2", "ResNet20/MSGD, B=128", "test accuracy", 91.63),
    ("sngm", "table_2", "ResNet20/LARS, warm-up", "initial learning rate", 2.4),
    ("sngm", "table_2", "ResNet20/SNGM", "test accuracy", 91.42),
    ("sngm", "table_2", "ResNet56/MSGD, B=4096", "test accuracy", 88.55),
    ("sngm", "table_2", "ResNet56/SNGM", "test accuracy", 93.12),
    ("sngm", "table_3", "ResNet18/MSGD", "test accuracy", 69.71),
    ("sngm", "table_3", "ResNet50/SNGM", "test accuracy", 75.42),
    ("stochastic_batch_size", "table_1", "mean", "VGG11/0.1", 83.44),
    ("stochastic_batch_size", "table_1", "max", "ResNet18/Sigm", 95.16),
    ("stochastic_batch_size", "table_1", "mean", "ResNet18/Adam", 91.35),
    ("stochastic_batch_size", "table_2", "VGG11/mean", "B=16/m=0.9", 86.07),
    ("stochastic_batch_size", "table_2", "ResNet18/max", "B=128/m=0.9", 94.77),
    ("stochastic_batch_size", "table_3", "mean", "alpha=1/VGG11", 91.78),
    ("stochastic_batch_size", "table_3", "max", "lambda=-4/ResNet18", 95.60),
    ("stochastic_batch_size", "table_4", "VGG11/B=16", "SGD/1/2", 89.16),
    ("stochastic_batch_size", "table_4", "VGG11/B=128", "improvement/1/8", 1.51),
    ("stochastic_batch_size", "table_4", "ResNet18/B=64", "Ours/1/4", 87.73),
    ("stochastic_batch_size", "table_5", "CIFAR10/mean/B=16", "VGG11/SGD", 92.03),
    ("stochastic_batch_size", "table_5", "CIFAR10/max/B=128", "ResNet50/Ours", 95.14),
    ("stochastic_batch_size", "table_5", "SVHN/mean/B=32", "ResNet18/aDrop", 96.19),
    ("stochastic_batch_size", "table_5", "SVHN/max/B=64", "ResNet50/eSGD", 96.45),
    ("stochastic_batch_size", "table_5", "STL10/mean/B=128", "ResNet18/eSGD", 48.53),
    ("stochastic_batch_size", "table_5", "STL10/max/B=16", "VGG11/Drop", 73.21),
    ("stochastic_batch_size", "table_5", "STL10/max/B=128", "ResNet50/Ours", 67.54),
]

SHAPES = {  # rows, columns
    ("tralgo", "table_1"): (4, 6), ("tralgo", "table_2"): (3, 3), ("tralgo", "table_3"): (3, 3),
    ("tralgo", "table_4"): (2, 4), ("tralgo", "table_5"): (1, 5), ("lrsgd", "table_1"): (3, 3),
    ("sngm", "table_1"): (2, 3), ("sngm", "table_2"): (10, 5), ("sngm", "table_3"): (4, 4),
    ("stochastic_batch_size", "table_1"): (2, 16), ("stochastic_batch_size", "table_2"): (4, 16),
    ("stochastic_batch_size", "table_3"): (2, 16), ("stochastic_batch_size", "table_4"): (8, 9),
    ("stochastic_batch_size", "table_5"): (24, 18),
}  # fmt: skip


def at(paper: Any, table: Any, row: Any, column: Any) -> Any:
    (found,) = (p for p in printed(paper, table) if (p.row, p.column) == (row, column))
    return found


@pytest.mark.parametrize("cell", BY_HAND, ids=lambda cell: ".".join(cell[:4]))
def test_a_cell_read_by_hand(cell: Any) -> None:
    *place, value = cell
    assert at(*place).value == value


def test_every_table_has_its_shape_and_no_cell_twice() -> None:
    assert {(paper, table) for paper in PAPERS for table in tables(paper)} == set(SHAPES)
    for (paper, table), (rows, columns) in SHAPES.items():
        cells = printed(paper, table)
        assert len({c.row for c in cells}) == rows
        assert len({c.column for c in cells}) == columns
        assert max(Counter((c.row, c.column) for c in cells).values()) == 1
        # Only SNGM's tables have empty places (a method without a power has no number there).
        assert len(cells) == rows * columns or paper == "sngm"


def test_every_number_lies_where_its_unit_allows() -> None:
    ranges = {"fraction": (0.1, 1.0), "%": (40.0, 100.0), "%-point": (0.0, 5.0), "1": (0.0, 3.0),
              "samples": (1.0, 10_000.0), "yes/no": (0.0, 1.0)}  # fmt: skip
    for paper in PAPERS:
        for cell in printed(paper):
            if cell.value is None:
                assert cell.notes, f"{cell}: no number and no reason"
                continue
            low, high = ranges[cell.unit]
            assert low <= cell.value <= high, cell
            assert cell.spread is None or 0 < cell.spread < 1


def test_what_the_papers_print_twice_agrees() -> None:
    paper = "stochastic_batch_size"
    for network in ("VGG11", "ResNet18"):
        for part in ("mean", "max"):
            sigmoid = at(paper, "table_1", part, f"{network}/Sigm").value
            assert at(paper, "table_2", f"{network}/{part}", "B=16/m=0").value == sigmoid
            for size, momentum in (("16", "0"), ("32", "0.3"), ("64", "0.6"), ("128", "0.9")):
                column = f"B={size}/m={momentum}"
                row = f"CIFAR10/{part}/B={size}"
                assert (
                    at(paper, "table_2", f"{network}/{part}", column).value
                    == at(paper, "table_5", row, f"{network}/SGD").value
                )
            best = at(paper, "table_3", part, f"lambda=-4/{network}").value
            assert at(paper, "table_5", f"CIFAR10/{part}/B=16", f"{network}/Ours").value == best
            same = at(paper, "table_3", part, f"alpha=0.1/{network}").value
            assert at(paper, "table_3", part, f"lambda=0/{network}").value == same
    for row in {c.row for c in printed(paper, "table_4")}:
        for ratio in ("1/2", "1/4", "1/8"):
            sgd, ours, gain = (
                at(paper, "table_4", row, f"{head}/{ratio}").value
                for head in ("SGD", "Ours", "improvement")
            )
            assert ours - sgd == pytest.approx(gain, abs=0.0151)  # two roundings and a third
    assert (
        at("tralgo", "table_1", "SGD", "CIFAR10/ResNet18").value
        == at("tralgo", "table_4", "SGD", "8").value
    )
    assert (
        at("tralgo", "table_4", "TRSGD", "8").value == at("tralgo", "table_5", "TRSGD", "10").value
    )


def test_an_unknown_paper_or_table_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown paper 'tralg'; did you mean tralgo"):
        printed("tralg")
    with pytest.raises(UnknownNameError, match="unknown table 'table_9'"):
        printed("lrsgd", "table_9")
