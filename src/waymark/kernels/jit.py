"""How kernels are compiled, and the constants that they share."""

import sys

import numba
import numpy as np

if "scipy.linalg" not in sys.modules:
    # Numba would import SciPy's linear algebra, in a quarter of a second, only to see whether it is there: it looks in
    # this module, and again where a function asks for it.
    sys.modules["scipy.linalg"] = None
    import numba.np.arraymath

    del sys.modules["scipy.linalg"]

# What was compiled is kept beside the source; threads run kernels at the same time, each on a bucket of its own.
# Divisions are not asked whether they are by zero: where they could be, the kernels ask.
jit = numba.njit(cache=True, nogil=True, error_model="numpy")

# An index. Numba asks a signed one whether it counts from the end; in the longest loops that is half of all work.
at = np.uint32

DAY = np.int64(86_400_000_000)  # microseconds
EVER = np.int64(2) ** 62  # a window longer than any history, in microseconds
NEVER = np.int64(np.iinfo(np.int64).min)  # when what has not happened yet was last
