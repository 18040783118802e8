"""Counterexample to lrsgd.definition_4_8 (printed): inner_gradient_norm_squared <= psi**2."""
import numpy as np
knots = np.array([1, 2, 3])  # F' is linear between them, flat beyond
rows = np.array([[0, -0.5, 0]])  # equally likely stochastic gradients there
mean, w0 = rows.mean(0), 2
def g(w): return np.interp(w, knots, mean)  # F'
def f(w):  # F, by integrating F' from the first knot
    at = np.unique(np.r_[knots, w])
    area = np.r_[0, np.cumsum(np.diff(at) * (g(at[1:]) + g(at[:-1])) / 2)]
    return np.interp(w, at, area) - np.interp(knots[0], at, area)
bends = np.diff(mean) / np.diff(knots)
ell = np.abs(bends).max()
delta = max(-bends.min(), 0.0)
G = np.abs(mean).max()
sigma = np.sqrt(((rows - mean)**2).mean(0).max())
S = 1
lam = 1
psi = 2*ell*np.sqrt(G**2 + sigma**2)*np.sqrt((-delta + lam)**(-1.0))/np.sqrt(S)
assert lam > delta
from itertools import product
paths = []
for path in product(range(len(rows)), repeat=1):  # every path
    w, moved, kept = w0, [], []
    for k in range(1):
        if k in {0}: kept.append(w)
        batch = path[k*1:(k+1)*1]
        v = np.mean([np.interp(w, knots, rows[i]) for i in batch])
        moved.append(v); w = w0 - 2 * sum(moved)
    paths.append(kept + [w])
W = np.array(paths)
inner_gradient_norm_squared = np.mean((g(W[:, -1]) + (lam)*(W[:, -1] - W[:, 0]))**2)
lhs = inner_gradient_norm_squared
rhs = psi**2
print(f"claimed: lhs <= rhs;  lhs = {lhs:.9g},  rhs = {rhs:.9g}")
lost = 1e-9 * (abs(inner_gradient_norm_squared) + abs(psi**2))  # what rounding may have taken
if not lhs - rhs > lost: raise SystemExit('not confirmed')
