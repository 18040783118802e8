# tralgo.claim_small_batch (printed): mean_next_gradient_norm_squared <= matched_sgd_mean_gradient_norm_squared
# It has no form for numpy alone: this needs theorylab. Run it with `python -P`.
from theorylab.plugins import registry
from theorylab.hunt.search import Instance

instance = Instance.from_json(
    {'spec': {'family': 'bounded_nonconvex',
              'parameters': {'dim': 1, 'kappa': 1.0, 'noise': 'two_point', 'sigma': 1.0}},
     'values': {'C': 1.0},
     'seed': 0,
     'a': 1.0,
     'b': 1.0,
     'quiet': False,
     'course': {}}
)
statement = registry.statement("tralgo.claim_small_batch", "printed")
v = instance.check(statement, replicas=4096, effort=4e6, confidence=0.999, repeat=1)
print(f"measured = {v.measured:.9g}, between {v.interval[0]:.9g} and {v.interval[1]:.9g}")
print(f"bound = {v.bound:.9g}; {v.reason or v.objective}")
if v.verdict != "violated":
    raise SystemExit(f"not confirmed: {v.verdict}")
