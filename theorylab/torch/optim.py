"""Update rules as ``torch.optim`` optimizers, each class derived from its rule's fields.

Every registered rule is here under its class's name, plug-ins included:

>>> import torch
>>> from theorylab.torch.optim import SGD, SNGM
>>> w = torch.nn.Parameter(torch.ones(1))
>>> descent = SGD([w], lr=0.5)
>>> (w**2).sum().backward()
>>> descent.step()
>>> w.item()
0.0
>>> print(inspect.signature(SNGM))
(params, lr, momentum=0.9, weight_decay=0.0, *, decoupled=False, maximize=False, foreach=None, \
capturable=False, differentiable=False, fused=None, seed=None)
>>> model = torch.nn.Linear(3, 1)
>>> normalised = SNGM(model.parameters(), lr=1.6, momentum=0.9)
>>> before = torch.cat([p.detach().flatten() for p in model.parameters()])
>>> model(torch.ones(2, 3)).sum().backward()
>>> normalised.step()
>>> after = torch.cat([p.detach().flatten() for p in model.parameters()])
>>> round((after - before).norm().item(), 4)
1.6
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from theorylab.method import RULES
from theorylab.method.rule import Hyper, UpdateRule
from theorylab.plugins import registry
from theorylab.torch.adapter import RuleOptimizer
from theorylab.torch.arguments import FLAGS, Flags
from theorylab.torch.oracle import ANSWERS

__all__ = [
    "Flags", "RuleOptimizer", "optimizer",
    *(rule.__name__ for rule in RULES if rule.needs <= ANSWERS),
]  # fmt: skip

_NAMES = {"beta": "momentum", "beta1": "betas", "beta2": "betas"}
_POSITIONAL = ("momentum", "weight_decay")


@cache
def optimizer(rule: type[UpdateRule]) -> type[RuleOptimizer]:
    """The ``torch.optim`` class of a rule: its signature, defaults and docstring are the rule's.

    Users of torch know ``eta`` as ``lr``, ``beta`` as ``momentum``, ``beta1`` and ``beta2`` as
    ``betas``; a rule's ``torch_names`` say what differs from that. ``lr`` comes first, then the
    rule's fields in order; switches and words are keyword-only. ``layout`` is filled from the
    parameters. Fields of type ``Hyper`` may differ between parameter groups.

    Parameters
    ----------
    rule : type
        A final subclass of :class:`~theorylab.method.rule.UpdateRule`, registered or not.

    Examples
    --------
    >>> from theorylab.method import TRSGD
    >>> list(optimizer(TRSGD).accepts.parameters)[:5]
    ['lr', 'lam', 'S', 'momentum', 'weight_decay']
    """
    names = _torch_names(rule)
    fields: dict[str, str | tuple[str, ...]] = {}
    accepted: dict[str, inspect.Parameter] = {}
    for field in sorted(
        dataclasses.fields(rule), key=lambda f: (names.get(f.name) != "lr", f.kw_only)
    ):
        name = names.get(field.name, field.name)
        if not name or name == "layout":
            continue
        if name == "betas":
            pair = fields.get(name, ())
            assert isinstance(pair, tuple)
            fields[name] = (*pair, field.name)
            before = accepted[name].default if pair else ()
            accepted[name] = _parameter(name, field, (*before, field.default))
            continue
        if field.type in ("Hyper", Hyper) or name == "lr":
            fields[name] = field.name
        missing = (
            field.default is dataclasses.MISSING or field.name in rule.tuned
            or (name == "lr" and field.default is None)
        )  # fmt: skip
        accepted[name] = _parameter(name, field, inspect.Parameter.empty if missing
                                    else field.default, field.name in rule.tuned)  # fmt: skip
    flags = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=value)
             for n, value in FLAGS.items()]  # fmt: skip
    if "lr" in accepted and any(p.default is p.empty for p in accepted.values()):
        accepted["lr"] = accepted["lr"].replace(default=inspect.Parameter.empty)
    # What is required first, and what is named by keyword last, each in the rule's order.
    ordered = sorted(accepted.values(), key=lambda p: (p.kind, p.default is not p.empty))
    accepts = inspect.Signature([*ordered, *flags])
    params = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    members = {
        "rule": rule,
        "fields": fields,
        "accepts": accepts,
        "__signature__": inspect.Signature([params, *ordered, *flags]),
        "__doc__": _doc(rule, names),
        "__module__": __name__,
        "__qualname__": rule.__name__,
    }
    return type(rule.__name__, (RuleOptimizer,), members)


def _torch_names(rule: type[UpdateRule]) -> Mapping[str, str]:
    names = {**_NAMES, **rule.torch_names}
    return names if "lr" in rule.torch_names.values() else {"eta": "lr", **names}


def _parameter(
    name: str, field: dataclasses.Field[Any], default: Any, tuned: bool = False
) -> inspect.Parameter:
    by_name = tuned or field.kw_only or isinstance(field.default, bool | str)
    if name in ("lr", *_POSITIONAL) or not by_name:
        return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)


def _doc(rule: type[UpdateRule], names: Mapping[str, str]) -> str:
    text = inspect.cleandoc(rule.__doc__ or rule.name).split("\nExamples\n")[0].rstrip()
    own = {field.name for field in dataclasses.fields(rule)}
    renamed = ", ".join(f"``{field}`` is ``{name}``" for field, name in names.items()
                        if field in own and name)  # fmt: skip
    head, *rest = text.split("\n\n", 1)
    about = (f"The ``torch.optim`` optimizer of :class:`{rule.__module__}.{rule.__name__}`: here "
             f"{renamed or 'all names are the same'}.")  # fmt: skip
    return "\n\n".join([head, about, *rest])


def __getattr__(name: str) -> type[RuleOptimizer]:
    for rule in (*RULES, *registry.rules().values()):
        if rule.__name__ == name:
            return optimizer(rule)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
