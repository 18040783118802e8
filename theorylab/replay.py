"""The script that measures a violated instance once more, with theorylab itself.

For instances that :mod:`theorylab.shrink` cannot write for numpy alone: perturbed twins, O(.)
claims, rules that draw random numbers, many dimensions.
"""

from __future__ import annotations

import json

from bounds.statement import Statement
from theorylab.falsify import Instance

__all__ = ["replay"]

_SCRIPT = """\
# {key} ({form}): {claim}
# It has no form for numpy alone: this needs theorylab.
import json

from theorylab import registry
from theorylab.falsify import Instance

instance = Instance.from_json(json.loads('''
{instance}
'''))
statement = registry.statement("{key}", "{form}")
v = instance.check(statement, replicas=4096, effort=4e6, confidence=0.999, repeat=1)
print(f"measured = {{v.measured:.9g}}, between {{v.interval[0]:.9g}} and {{v.interval[1]:.9g}}")
print(f"bound = {{v.bound:.9g}}; {{v.reason or v.objective}}")
assert v.verdict == "violated"
"""


def replay(statement: Statement, instance: Instance) -> str:
    """Python source that checks the instance on fresh randomness and prints both sides.

    Its last line asserts that the statement is violated there.

    Examples
    --------
    >>> from bounds import sngm
    >>> text = replay(sngm.lemma_2, Instance({"family": "quadratic"}, {"beta": 0.5}))
    >>> text.splitlines()[0]
    '# sngm.lemma_2 (printed): buffer_norm <= 1/(1 - beta)'
    """
    text = json.dumps(instance.to_json(), indent=1)
    if "'''" in text or "\\" in text:
        raise ValueError(f"{statement.key}: its instance cannot be quoted in a script")
    claim = str(statement.claim).encode("ascii", "replace").decode()
    return _SCRIPT.format(key=statement.key, form=statement.form, claim=claim, instance=text)
