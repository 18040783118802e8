"""The measured quantities statements speak about.

Conventions: ``w_0`` is the start, ``t`` counts rounds of the algorithm (a round of SGD is one
step; of TRSGD, S inner steps), F is the objective, E the expectation over the algorithm's
randomness. A user's statement may use these as they are.
"""

from bounds.quantities.budgets import *
from bounds.quantities.one_round import *
from bounds.quantities.points import *
from bounds.quantities.stochastic_batch_size import *
from bounds.quantities.twins import *
from bounds.quantities.whole_run import *
