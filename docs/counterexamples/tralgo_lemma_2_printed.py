"""Counterexample to tralgo.lemma_2 (printed): inner_distance_squared <= 4*(G + sigma**2)*(ell + lam)**2/(S*(-delta + lam)**2)."""
import numpy as np
knots = np.array([0, 1, 2])  # F' is linear between them, flat beyond
rows = np.array([[0, -1, 0]])  # equally likely stochastic gradients there
mean, w0 = rows.mean(0), 1
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
S = 2
lam = 1.04
assert lam > delta
from itertools import product
paths = []
for path in product(range(len(rows)), repeat=2):  # every path
    w, moved, kept = w0, [], []
    for k in range(2):
        if k in {0}: kept.append(w)
        batch = path[k*1:(k+1)*1]
        v = np.mean([np.interp(w, knots, rows[i]) for i in batch])
        moved.append(v); w = w0 - np.dot([[24.99999999999998], [-299.9999999999995, 12.49999999999999]][k], moved)
    paths.append(kept + [w])
W = np.array(paths)
def prox(lo=-1e6, hi=1e6):  # argmin F + (lam/2)(w - w0)^2
    for _ in range(200):
        m = (lo + hi) / 2
        lo, hi = (m, hi) if g(m) + lam * (m - w0) < 0 else (lo, m)
    return (lo + hi) / 2
inner_distance_squared = np.mean((W[:, -1] - prox())**2)
lhs = inner_distance_squared
rhs = 4*(G + sigma**2)*(ell + lam)**2/(S*(-delta + lam)**2)
print(f"claimed: lhs <= rhs;  lhs = {lhs:.9g},  rhs = {rhs:.9g}")
assert not lhs <= rhs, 'the claim holds here'
