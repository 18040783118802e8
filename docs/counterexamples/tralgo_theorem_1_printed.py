"""Counterexample to tralgo.theorem_1 (printed): mean_next_gradient_norm_squared <= 4*Bf*ell/T + sigma**2/(4*B)."""
import numpy as np
knots = np.array([3, 4, 5, 6])  # F' is linear between them, flat beyond
rows = np.array([[0, -1, -1, 0]])  # equally likely stochastic gradients there
mean, w0 = rows.mean(0), 3.026012294800163
def g(w): return np.interp(w, knots, mean)  # F'
def f(w):  # F, by integrating F' from the first knot
    at = np.unique(np.r_[knots, w])
    area = np.r_[0, np.cumsum(np.diff(at) * (g(at[1:]) + g(at[:-1])) / 2)]
    return np.interp(w, at, area) - np.interp(knots[0], at, area)
bends = np.diff(mean) / np.diff(knots)
flat = [x - m / b for x, m, b, y in zip(knots, mean, bends, knots[1:]) if b and x < x - m / b < y]
at = np.r_[knots, flat]; vals = f(at)
assert mean[0] == 0 == mean[-1]  # so that the extremes lie between the knots
ell = np.abs(bends).max()
sigma = np.sqrt(((rows - mean)**2).mean(0).max())
Bf = (vals.max() - vals.min()) / 2
B = 1
T = 12
from itertools import product
paths = []
for path in product(range(len(rows)), repeat=12):  # every path
    w, moved, kept = w0, [], []
    for k in range(12):
        if k in {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}: kept.append(w)
        batch = path[k*1:(k+1)*1]
        v = np.mean([np.interp(w, knots, rows[i]) for i in batch])
        moved.append(v); w = w0 - 0.5 * sum(moved)
    paths.append(kept + [w])
W = np.array(paths)
mean_next_gradient_norm_squared = np.mean(g(W[:, 1:])**2)
lhs = mean_next_gradient_norm_squared
rhs = 4*Bf*ell/T + (1/4)*sigma**2/B
print(f"claimed: lhs <= rhs;  lhs = {lhs:.9g},  rhs = {rhs:.9g}")
lost = 1e-9 * (abs(mean_next_gradient_norm_squared) + abs((1/4)*sigma**2/B) + abs(4*Bf*ell/T))  # what rounding may have taken
if not lhs - rhs > lost: raise SystemExit('not confirmed')
