# stochastic_batch_size.eq_20_mean (printed): mean_update_probability == 1/2
# It has no form for numpy alone: this needs theorylab. Run it with `python -P`.
from theorylab.plugins import registry
from theorylab.hunt.search import Instance

instance = Instance.from_json(
    {'spec': {'family': 'quadratic',
              'parameters': {'dim': 1, 'noise': 'two_point', 'sigma': 1.0, 'start': 1.0}},
     'values': {'eta': 1.0, 'lambda_': -1.0},
     'seed': 0,
     'a': 1.0,
     'b': 1.0,
     'quiet': True,
     'course': {}}
)
statement = registry.statement("stochastic_batch_size.eq_20_mean", "printed")
v = instance.check(statement, replicas=4096, effort=4e6, confidence=0.999, repeat=1)
print(f"measured = {v.measured:.9g}, between {v.interval[0]:.9g} and {v.interval[1]:.9g}")
print(f"bound = {v.bound:.9g}; {v.reason or v.objective}")
if v.verdict != "violated":
    raise SystemExit(f"not confirmed: {v.verdict}")
