"""The exhibits of SNGM: three figures and three tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from bounds.render import claim_latex, expression_latex
from deep.recipes import Recipe, sngm_table_2
from deep.settings import Settings
from paper_figures.drawing import curves
from paper_figures.exhibit import Exhibit, Place
from paper_figures.recipes import claimed, draw_table
from paper_figures.scale import Run
from paper_figures.session import Session
from paper_figures.style import Style
from theorylab.plugins import registry

__all__ = ["EXHIBITS"]

_DECAY = 1e-4
_CIFAR = Settings(data="cifar10", epochs=160.0, schedule="poly:1.1")
_IMAGENET = Settings(data="imagenet", epochs=90.0, schedule="poly:2")
_MODELS = ("ResNet20", "ResNet56")
_ROWS = {"MSGD, batch 128": "MSGD, B=128", "MSGD": "MSGD, B=4096"}  # as the table is transcribed


def _msgd(base: Settings, lr: float, size: int, schedule: str) -> Settings:
    return replace(
        base, optimizer="msgd", lr=lr, options={"momentum": 0.9, "weight_decay": _DECAY},
        batch_size=size, accumulate=max(1, size // 128), schedule=schedule,
    )  # fmt: skip


def _sngm(base: Settings, lr: float, size: int) -> Settings:
    return replace(_msgd(base, lr, size, base.schedule), optimizer="sngm")


def _cifar(model: str) -> dict[str, Recipe]:
    """The five rows of Table 2 for one network."""
    return {_ROWS.get(r.row, r.row): r for r in sngm_table_2(model.lower())}


# --- Figures ------------------------------------------------------------------------------------
def _figure_1(session: Session) -> pd.DataFrame:
    # The text gives neither the batch sizes nor the steps: Table 2's batches, each at the step
    # that does best on held-out samples.
    base = replace(_CIFAR, model="two_conv")
    runs = [
        Run(f"MSGD, B={size}", "two convolutions", _msgd(base, lr, size, "poly:1.1"), tune=True)
        for size, lr in ((128, 0.1), (4096, 0.4))
    ]
    return session.train(runs, seeds=3)


def _draw_figure_1(data: pd.DataFrame, style: Style) -> Figure:
    panels = [("two convolutions", [metric]) for metric in ("train_loss", "test_accuracy")]
    return curves(data, style, panels, x="epoch", columns=2, ratio=0.6)


def _figure_2(session: Session) -> pd.DataFrame:
    runs = []
    for model in _MODELS:
        rows = _cifar(model)
        runs += [Run(name, model, rows[name].settings) for name in ("MSGD, B=128", "LARS")]
        runs += claimed("SNGM", model, rows["SNGM"].settings)
    return session.train(runs, seeds=3)


def _learning_curves(data: pd.DataFrame, style: Style) -> Figure:
    columns = list(dict.fromkeys(data.column))
    panels = [(c, [m]) for m in ("train_loss", "test_accuracy") for c in columns]
    return curves(data, style, panels, x="epoch", columns=2, ratio=0.6)


def _imagenet(model: str) -> dict[str, Settings]:
    base = replace(_IMAGENET, model=f"{model.lower()}_imagenet")
    return {
        "MSGD": _msgd(base, 0.1, 256, "staircase:0.3333,0.6667:0.1"),
        "SNGM": _sngm(base, 0.8, 8192),
    }


def _figure_3(session: Session) -> pd.DataFrame:
    runs = []
    for model in ("ResNet18", "ResNet50"):
        rows = _imagenet(model)
        runs += [Run("MSGD", model, rows["MSGD"]), *claimed("SNGM", model, rows["SNGM"])]
    return session.train(runs, seeds=3)


# --- Tables -------------------------------------------------------------------------------------
def _table_1(session: Session) -> pd.DataFrame:
    """The rates as the statements have them; nothing is typed again here."""
    rows = []
    for name in ("msgd", "sngm"):
        for form in ("printed", "repaired"):
            statement = registry.statement(f"sngm.table_1_{name}", form)
            given = {symbol.name: value for symbol, value in statement.prescription.items()}
            limits = [
                f"{expression_latex(c.lhs)} {_SIGNS[c.op]} {expression_latex(c.rhs)}"
                for c in statement.conditions
            ]
            batch = limits[0] if limits else f"C = {expression_latex(given['C'])}"
            rows.append({
                "row": name.upper(), "column": form, "arm": "", "scale": "",
                "bound": claim_latex(statement.claim),
                "rate": expression_latex(statement.claim.rhs),
                "step": expression_latex(given["eta"]), "batch": batch, "note": statement.note,
            })  # fmt: skip
    return pd.DataFrame(rows)


_SIGNS = {"<=": r"\leq", ">=": r"\geq", "<": "<", ">": ">", "==": "="}


def _draw_table_1(data: pd.DataFrame, style: Style) -> Figure:
    heads = {"row": 0.0, "column": 0.09, "bound on the mean gradient norm": 0.2, "step": 0.67,
             "batch size": 0.78}  # fmt: skip
    with style.rc():
        canvas = Figure(figsize=(style.page, 0.42 * (len(data) + 1)))
        axes = canvas.add_axes((0.01, 0.0, 0.98, 1.0))
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(-len(data) - 0.1, 0.9)
        for name, x in heads.items():
            axes.text(x, 0.35, {"row": "", "column": "form"}.get(name, name), weight="bold",
                      va="center")  # fmt: skip
        axes.axhline(0.0, color="black", linewidth=0.8)
        for i, r in enumerate(data.to_dict("records")):
            order = rf"O({r['rate']})" if r["column"] == "printed" else r["rate"]
            cells = (r["row"], r["column"], f"${order}$", f"${r['step']}$", f"${r['batch']}$")
            for text, x in zip(cells, heads.values(), strict=True):
                axes.text(x, -i - 0.55, text, va="center", fontsize=style.size - 0.5)
        return canvas


def _latex_table_1(data: pd.DataFrame) -> str:
    lines = [
        rf"{r['row']} & {r['column']} & ${r['bound']}$ & ${r['step']}$ & ${r['batch']}$ \\"
        for r in data.to_dict("records")
    ]
    body = "\n".join(lines)
    return (
        "\\begin{table}[t]\n\\centering\\small\n"
        "\\caption{Table 1: MSGD and SNGM for an $L$-smooth objective, as printed and repaired.}\n"
        "\\resizebox{\\linewidth}{!}{\\begin{tabular}{lllll}\n\\toprule\n"
        "method & form & mean gradient norm & step & batch size \\\\\n\\midrule\n"
        f"{body}\n\\bottomrule\n\\end{{tabular}}}}\n\\end{{table}}\n"
    )


def _table_2(session: Session) -> pd.DataFrame:
    runs = []
    for model in _MODELS:
        for name, recipe in _cifar(model).items():
            place = f"{model}/{name}", "test accuracy"
            runs += (
                claimed(*place, recipe.settings, recipe=recipe.name)
                if name == "SNGM"
                else [Run(*place, recipe.settings, recipe=recipe.name)]
            )
    return session.train(runs, seeds=3)


def _table_3(session: Session) -> pd.DataFrame:
    runs = []
    for model in ("ResNet18", "ResNet50"):
        for name, settings in _imagenet(model).items():
            place = f"{model}/{name}", "test accuracy"
            runs += claimed(*place, settings) if name == "SNGM" else [Run(*place, settings)]
    return session.train(runs, seeds=3)


def _accuracies(data: pd.DataFrame) -> Sequence[Place]:
    rows = list(dict.fromkeys(data[data.arm == ""].row))
    return [Place(row, "test accuracy", (row, "test accuracy")) for row in rows]


EXHIBITS = (
    Exhibit(
        "sngm.figure_1", "MSGD with a small and a large batch, two convolutions", "Figure 1",
        _figure_1, _draw_figure_1,
        supports="At equal epochs the large batch takes a thirty-second of the steps; each batch "
        "size has the step that does best on held-out samples.",
    ),
    Exhibit(
        "sngm.figure_2", "Learning curves on CIFAR10", "Figure 2", _figure_2, _learning_curves,
        supports="The arm `same gradients, own step` is MSGD at SNGM's batch, schedule and a step "
        "chosen as SNGM's.",
    ),
    Exhibit(
        "sngm.figure_3", "Learning curves on ImageNet", "Figure 3", _figure_3, _learning_curves,
        data="imagenet",
        supports="The printed comparison has MSGD at another batch size and schedule.",
    ),
    Exhibit(
        "sngm.table_1", "Rates of MSGD and SNGM, as printed and repaired", "Table 1", _table_1,
        _draw_table_1, data="", tables=_latex_table_1,
        supports="Once repaired MSGD has SNGM's rate and batch size.",
    ),
    Exhibit(
        "sngm.table_2", "Test accuracy on CIFAR10", "Table 2", _table_2,
        draw_table("sngm.table_2", _accuracies), _accuracies,
        supports="MSGD at batch 4096 keeps the staircase in the paper, SNGM has the poly "
        "schedule: the arm `same gradients` gives MSGD the same schedule.",
    ),
    Exhibit(
        "sngm.table_3", "Test accuracy on ImageNet", "Table 3", _table_3,
        draw_table("sngm.table_3", _accuracies), _accuracies, data="imagenet",
        supports="The paper has no MSGD at batch 8192; the arms do.",
    ),
)  # fmt: skip
