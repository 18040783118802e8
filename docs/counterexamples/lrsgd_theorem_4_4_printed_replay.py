# lrsgd.theorem_4_4 (printed): stability_gap <= O(T**(c*kappa*(1 - theta))*n**(-c*kappa*(1 - theta) - 1))
# It has no form for numpy alone: this needs theorylab. Run it with `python -P`.
from theorylab.plugins import registry
from theorylab.hunt.search import Instance

instance = Instance.from_json(
    {'spec': {'family': 'stability_twins', 'parameters': {'n': 20}},
     'values': {'c': 0.25, 'theta': 0.25},
     'seed': 0,
     'a': 1.0,
     'b': 1.0,
     'quiet': False,
     'course': {}}
)
statement = registry.statement("lrsgd.theorem_4_4", "printed")
v = instance.check(statement, replicas=4096, effort=4e6, confidence=0.999, repeat=1)
print(f"measured = {v.measured:.9g}, between {v.interval[0]:.9g} and {v.interval[1]:.9g}")
print(f"bound = {v.bound:.9g}; {v.reason or v.objective}")
if v.verdict != "violated":
    raise SystemExit(f"not confirmed: {v.verdict}")
