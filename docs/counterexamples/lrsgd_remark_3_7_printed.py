"""Counterexample to lrsgd.remark_3_7 (printed): T**(c*kappa)*n**(-c*kappa - 1)*log(n) <= Bf**(1/(c*kappa + 1))*T**(c*kappa/(c*kappa + 1))/n."""
import numpy as np
Bf = 0.5
delta = 0
ell = 1
n = 2
T = 3
c = 1
kappa = delta/ell
assert delta <= ell + 1e-12
assert T > n
assert Bf**((c*kappa + 1)**(-1.0))*T**(c*kappa/(c*kappa + 1))/n <= 2*Bf + 1e-12
assert c*kappa <= 1/3 + 1e-12
assert Bf >= np.log(n)**2
lhs = T**(c*kappa)*n**(-c*kappa - 1)*np.log(n)
rhs = Bf**((c*kappa + 1)**(-1.0))*T**(c*kappa/(c*kappa + 1))/n
print(f"claimed: lhs <= rhs;  lhs = {lhs:.9g},  rhs = {rhs:.9g}")
lost = 1e-9 * (abs(T**(c*kappa)*n**(-c*kappa - 1)*np.log(n)) + abs(Bf**((c*kappa + 1)**(-1.0))*T**(c*kappa/(c*kappa + 1))/n))  # what rounding may have taken
if not lhs - rhs > lost: raise SystemExit('not confirmed')
