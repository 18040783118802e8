"""``Groups``: what an optimizer's parameter groups say, as the rule they describe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import is_, itemgetter
from typing import Any, NamedTuple, final

from torch import Tensor

from theorylab.method.rule import UpdateRule
from theorylab.method.schedules import Schedule
from theorylab.torch.arguments import (
    FLAGS,
    check_group,
    check_number,
    kind_of,
    layer_kinds,
    limits_of,
)
from theorylab.torch.forms import Form, Kept, kept_by

__all__ = ["Active", "Fields", "Groups"]

Active = list[tuple[Tensor, dict[str, Any]]]
Fields = Mapping[str, str | tuple[str, ...]]


_MOVING = ("lr", "lam", "momentum", "weight_decay")
"""Arguments that schedules change at every step."""


class _Told(NamedTuple):
    """Which arguments may be other numbers at a step of the same rule, and what all others were."""

    of: _Last
    moving: tuple[str, ...]
    limits: tuple[tuple[float, float], ...]
    groups: list[_Group]


class _Group(NamedTuple):
    """A group's keys in order, where numbers that move and the others stand, and what those were.

    By place, as looking up a dozen keys takes five times as long between a network's passes.
    """

    names: list[str]
    moving: Callable[[list[Any]], tuple[Any, ...]]
    rest: Callable[[list[Any]], tuple[Any, ...]]
    fixed: tuple[Any, ...]


class _Last(NamedTuple):
    """The rule made last: what it was made of, and what the groups said then."""

    arguments: dict[str, Any]
    values: list[list[Any]]


@final
class Groups:
    """The rule of an optimizer's groups; remade where a value changes, quickly for a number.

    Parameters
    ----------
    who : str
        The optimizer's name.
    rule : type
    fields : mapping
        Which arguments may differ between groups, and the rule's fields they set.
    accepts : Signature
        All arguments.
    """

    def __init__(
        self, who: str, rule: type[UpdateRule], fields: Fields, accepts: inspect.Signature
    ) -> None:
        self.who, self.rule, self.fields = who, rule, fields
        self._keys = (*accepts.parameters, "method")
        self._fixed = [key for key in self._keys
                       if key not in fields and key not in FLAGS and key != "method"]  # fmt: skip
        self._checked = {
            **{key: (names,) if isinstance(names, str) else names for key, names in fields.items()},
            **{key: (key,) for key in self._fixed},
        }
        self._stamp: Any = None
        self.last: _Last | None = None  # another object for every rule that is made
        self._told: _Told | None = None
        self._kept: tuple[Any, Kept] | None = None
        self.present: UpdateRule | None = None

    @property
    def kept(self) -> Kept:
        """What the present rule keeps between steps."""
        assert self._kept is not None
        return self._kept[1]

    @property
    def plain(self) -> bool:
        """Whether all that the present rule was made of are numbers, words and switches."""
        made = self.last
        return made is not None and all(
            value is None or isinstance(value, bool | int | float | str | tuple)
            for values in (*made.values, made.arguments.values()) for value in values
        )  # fmt: skip

    def check(self, group: Mapping[str, Any], first: Mapping[str, Any]) -> None:
        """Refuse values out of range, and those that differ from the first group's in vain.

        Raises
        ------
        ValueError
        """
        check_group(self.who, group, self._checked, self.rule.ranges)
        for key in self._keys:
            if key in self.fields or key == "maximize":
                continue
            if group[key] != first[key]:
                raise ValueError(f"{self.who}: {key} must be the same in all parameter groups")

    def kinds(self, groups: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
        """What of the groups may decide which code of the rule runs."""
        return tuple(kind_of(groups[0][key]) for key in self._keys)

    def made(
        self, groups: Sequence[dict[str, Any]], active: Active, form: Form | None
    ) -> UpdateRule:
        """The rule with the groups' present values; they differ as the form wants it."""
        owners = [group for _, group in active]
        distinct = list({id(group): group for group in owners}.values())
        columns: dict[str, list[Any]] = {}
        for key, names in self.fields.items():
            for i, field in enumerate(names if isinstance(names, tuple) else (names,)):
                columns[field] = [g[key][i] if isinstance(names, tuple) else g[key]
                                  for g in distinct]  # fmt: skip
        fixed = {key: groups[0][key] for key in self._fixed}
        # Tensors are compared by identity: their values stay where they are.
        stamp = (tuple(id(p) for p, _ in active), type(form), list(fixed.values()),
                 [[id(v) if isinstance(v, Tensor) else v for v in column]
                  for column in columns.values()])  # fmt: skip
        if self.present is not None and self._stamp == stamp:
            return self.present
        for group in distinct:
            self.check(group, groups[0])
        frozen = True
        values: dict[str, Any] = dict(fixed)
        for field, column in columns.items():
            first = column[0]
            if all(v is first or (not isinstance(v, Tensor) and not isinstance(first, Tensor)
                                  and v == first) for v in column):  # fmt: skip
                values[field] = first.reshape(()) if isinstance(first, Tensor) else first
                continue
            if any(isinstance(v, Schedule) for v in column):
                raise ValueError(f"{self.who}: a schedule for {field} must be the same "
                                 "in all parameter groups")  # fmt: skip
            frozen &= not any(isinstance(v, Tensor) for v in column)
            by_group = {id(g): v for g, v in zip(distinct, column, strict=True)}
            each = [by_group[id(g)] for g in owners]
            values[field] = form.each(each) if form is not None else float(first)
        if "layout" in self.rule.__dataclass_fields__:
            values["layout"] = tuple(layer_kinds(groups, active))
        rule = self.rule(**values)
        kinds = [[kind_of(value) for value in column] for column in columns.values()], stamp[2]
        if self._kept is None or self._kept[0] != kinds:
            self._kept = (kinds, kept_by(rule, self.who))
        self._stamp, self.present = stamp if frozen else None, rule
        self.last = _Last(values, self._values(groups)) if frozen else None
        return rule

    def again(self, groups: Sequence[dict[str, Any]]) -> UpdateRule | None:
        """The rule made last with the numbers of now; ``None`` if more than numbers changed.

        For the same parameters in the same form as then.

        Raises
        ------
        ValueError
            If a number is out of range.
        """
        last = self.last
        if last is None or len(last.values) != len(groups):
            return None
        values = self._values(groups)
        changed: dict[str, list[float]] = {}
        for old, new in zip(last.values, values, strict=True):
            if all(map(is_, old, new)):
                continue
            for key, a, b in zip(self._keys, old, new, strict=True):
                if a is b:
                    continue
                if a.__class__ is not float or b.__class__ is not float or (a == 0) != (b == 0):
                    return None
                if a != b:
                    changed.setdefault(key, []).append(b)
        if not changed:
            self.last = last._replace(values=values)
            return self.present
        arguments = dict(last.arguments)
        for key, numbers in changed.items():
            field = self.fields.get(key)
            if not isinstance(field, str) or arguments[field].__class__ is not float:
                return None
            if len(numbers) != len(groups) or numbers.count(numbers[0]) != len(groups):
                return None
            check_number(self.who, key, field, numbers[0], self.rule.ranges)
            arguments[field] = numbers[0]
        rule = self.rule(**arguments)
        self._stamp, self.present = None, rule
        self.last = _Last(arguments, values)
        return rule

    # --- numbers alone -------------------------------------------------------------------------
    @property
    def arguments(self) -> dict[str, Any] | None:
        """The fields of the rule made last, where they are numbers, words and switches."""
        return self.last.arguments if self.last is not None and self.plain else None

    @property
    def moving(self) -> list[str]:
        """The fields of the rule made last that :meth:`told` gives."""
        return [] if self._told is None else [str(self.fields[key]) for key in self._told.moving]

    def told(self, groups: Sequence[dict[str, Any]]) -> tuple[float, ...] | None:
        """The :attr:`moving` numbers now; ``None`` if anything else is not as it was.

        Raises
        ------
        ValueError
            If a number is out of range.
        """
        told = self._told
        if told is None or told.of is not self.last:
            told = self._told = self._looked(groups)
            if told is None:
                return None
        if len(groups) != len(told.groups):
            return None
        found: tuple[float, ...] | None = None
        for group, known in zip(groups, told.groups, strict=True):
            if [*group] != known.names:
                return None
            values = [*group.values()]
            try:
                if known.rest(values) != known.fixed:
                    return None
            except RuntimeError:  # a tensor of several numbers
                return None
            numbers = known.moving(values)
            if found is not None and numbers != found:
                return None
            found = numbers
        if found is None:
            return None
        for key, number, (low, high) in zip(told.moving, found, told.limits, strict=False):
            if number.__class__ is not float or number == 0:
                return None
            if not low <= number < high:
                check_number(self.who, key, str(self.fields[key]), number, self.rule.ranges)
        return found

    def _looked(self, groups: Sequence[dict[str, Any]]) -> _Told | None:
        last = self.last
        if last is None or not self.plain:
            return None
        moving = tuple(
            key for key in _MOVING if isinstance(field := self.fields.get(key), str)
            and last.arguments[field].__class__ is float and last.arguments[field] != 0
        )  # fmt: skip
        rest = [key for key in self._keys if key not in moving]
        limits = tuple(limits_of(str(self.fields[key]), self.rule.ranges) for key in moving)
        looks = []
        for group in groups:
            names, values = [*group], [*group.values()]
            at, others = (_at([names.index(key) for key in keys]) for keys in (moving, rest))
            looks.append(_Group(names, at, others, others(values)))
        return _Told(last, moving, limits, looks)

    def _values(self, groups: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
        return [[group[key] for key in self._keys] for group in groups]


def _at(places: Sequence[int]) -> Callable[[list[Any]], tuple[Any, ...]]:
    """What stands at these places, as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)
