# lrsgd.condition_2_3 (printed): gradient_deviation <= sigma**2
# It has no form for numpy alone: this needs theorylab. Run it with `python -P`.
from theorylab.plugins import registry
from theorylab.hunt.search import Instance

instance = Instance.from_json(
    {'spec': {'family': 'quadratic',
              'parameters': {'dim': 1, 'noise': 'shifts', 'sigma': 1.0, 'n': 3}},
     'values': {},
     'seed': 0,
     'a': 1.0,
     'b': 1.0,
     'quiet': False,
     'course': {}}
)
statement = registry.statement("lrsgd.condition_2_3", "printed")
v = instance.check(statement, replicas=4096, effort=4e6, confidence=0.999, repeat=1)
print(f"measured = {v.measured:.9g}, between {v.interval[0]:.9g} and {v.interval[1]:.9g}")
print(f"bound = {v.bound:.9g}; {v.reason or v.objective}")
if v.verdict != "violated":
    raise SystemExit(f"not confirmed: {v.verdict}")
