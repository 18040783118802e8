"""Optimizers by name: ``module:name``, settings and claims as the command line has them."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch

from theorylab.conformance.check import one_line
from theorylab.conformance.claims import Claims
from theorylab.conformance.presets import PRESETS
from theorylab.conformance.study import subject_of
from theorylab.conformance.subject import Subject
from theorylab.errors import UsageError

__all__ = ["Target", "found_in", "load", "parse_claims", "parse_settings", "subject_at"]


@final
@dataclass(frozen=True)
class Target:
    """An optimizer, as text.

    Attributes
    ----------
    path : str
        ``module:name``, or ``module`` for all optimizers that it exports.
    settings : str
        ``lr=0.1, betas=(0.9, 0.99)``.
    claims : tuple of str
        ``decay=decoupled``, ``scale``, ``rotation``, ``translation``, ``reference=NAME`` of a rule
        or ``reference=module:function``, ``limited=CHECK``.
    """

    path: str
    settings: str = ""
    claims: tuple[str, ...] = ()


def load(path: str) -> Any:
    """What ``module:name`` names; its module is imported, and nothing else is run.

    Raises
    ------
    UsageError
        If the path is of another form, or the module or the name is not there.

    Examples
    --------
    >>> load("torch.optim:SGD").__name__
    'SGD'
    >>> load("torch.optim:Sgd")
    Traceback (most recent call last):
    theorylab.errors.UsageError: torch.optim has no 'Sgd'
    """
    module, colon, name = path.partition(":")
    if (
        not module
        or (colon and not name)
        or not all(
            part.isidentifier() for part in (*module.split("."), *(name.split(".") if name else ()))
        )
    ):
        raise UsageError(f"expected MODULE:NAME, as in mypackage.optim:MyOptimizer; got {path!r}")
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{module} cannot be imported: {one_line(error)}") from None
    for part in name.split(".") if name else ():
        try:
            found = getattr(found, part)
        except Exception:
            raise UsageError(f"{module} has no {name!r}") from None
    return found


def found_in(module: str) -> list[str]:
    """The optimizers that a module exports, each as ``module:name``.

    >>> found_in("torch.optim")[:3]
    ['torch.optim:ASGD', 'torch.optim:Adadelta', 'torch.optim:Adafactor']
    """
    home = load(module)
    names = getattr(home, "__all__", None) or [n for n in dir(home) if not n.startswith("_")]
    names = sorted({*names, *(n for n in dir(home) if not n.startswith("_"))})
    found = []
    for name in names:
        item = getattr(home, name, None)
        path = f"{module}:{name}"
        if not isinstance(item, type) or not issubclass(item, torch.optim.Optimizer):
            continue
        if item.__init__ is not torch.optim.Optimizer.__init__ and PRESETS.get(path, True):
            found.append(path)
    if not found:
        raise UsageError(f"{module} exports no torch optimizer")
    return found


def parse_settings(text: str) -> dict[str, Any]:
    """``lr=0.1, betas=(0.9, 0.99), variant=authors``: literals, or else words.

    Raises
    ------
    UsageError
        If it is of another form; nothing in it is run.

    Examples
    --------
    >>> parse_settings("lr=0.1, betas=(0.9, 0.99), variant=authors")
    {'lr': 0.1, 'betas': (0.9, 0.99), 'variant': 'authors'}
    >>> parse_settings("lr=0.1, lr=0.2")
    Traceback (most recent call last):
    theorylab.errors.UsageError: --set takes each name once, got lr twice
    >>> parse_settings("lr=open('x')")
    Traceback (most recent call last):
    theorylab.errors.UsageError: --set: expected lr=NUMBER, a tuple of numbers or a word; got \
lr=open('x')
    """
    try:
        call = ast.parse(f"f({text})", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        call = None
    if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
        raise UsageError(f"--set: expected NAME=VALUE, NAME=VALUE, ...; got {text!r}")
    found: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg in found:
            raise UsageError(f"--set takes each name once, got {keyword.arg} twice")
        if keyword.arg is None:
            raise UsageError(f"--set: expected NAME=VALUE, NAME=VALUE, ...; got {text!r}")
        if isinstance(keyword.value, ast.Name):
            found[keyword.arg] = keyword.value.id
            continue
        try:
            found[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError):
            shown = f"{keyword.arg}={ast.unparse(keyword.value)}"
            raise UsageError(f"--set: expected {keyword.arg}=NUMBER, a tuple of numbers or a word; "
                             f"got {shown}") from None  # fmt: skip
    return found


def parse_claims(items: Sequence[str], claims: Claims | None = None) -> Claims:
    """Claims of an optimizer from their text, added to others.

    Raises
    ------
    UsageError
        If one is of no known form.

    Examples
    --------
    >>> found = parse_claims(["decay=coupled", "scale", "reference=sngm", "limited=saddle"])
    >>> found.decay, sorted(found.invariances), found.reference, list(found.limitations)
    ('coupled', ['scale'], 'sngm', ['saddle'])
    """
    found = claims or Claims()
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            found = replace(found, invariances=found.invariances | {name})  # type: ignore[arg-type]
        elif name == "decay":
            found = replace(found, decay=value)  # type: ignore[arg-type]
        elif name == "reference":
            found = replace(found, reference=load(value) if ":" in value else value)
        elif name == "limited":
            known = {**found.limitations, value: "declared on the command line"}
            found = replace(found, limitations=known)
        else:
            raise UsageError("claims are decay=coupled, decay=decoupled, scale, rotation, "
                             f"translation, reference=NAME, limited=CHECK; got {item!r}"
                             )  # fmt: skip
    return found


def subject_at(target: Target) -> Subject:
    """The optimizer that a target names, with what is known of it (:mod:`.presets`).

    Raises
    ------
    UsageError
        If it names none, or settings or claims are none.
    """
    given: Mapping[str, Any] = parse_settings(target.settings)
    made = load(target.path)
    preset = PRESETS.get(target.path)
    claims = parse_claims(target.claims, preset.claims if preset else None)
    settings = {**(preset.settings if preset else {}), **given}
    return subject_of(made, claims, settings, target.path)
