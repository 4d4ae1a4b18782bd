"""How kernels are compiled, and the constants that they share."""

import sys

import numba
import numpy as np

# Numba would import what no kernel needs only to see whether it is there, in a quarter of a second: SciPy's linear
# algebra, for which it looks in one module, and again where a function asks for it; and CFFI with its parser of C.
_missed = {"scipy.linalg", "cffi"} - set(sys.modules)
sys.modules.update(dict.fromkeys(_missed))
import numba.core.typing.cffi_utils  # noqa: E402
import numba.np.arraymath  # noqa: E402

for _name in _missed:
    del sys.modules[_name]

# What was compiled is kept beside the source; threads run kernels at the same time, each on a bucket of its own.
# Divisions are not asked whether they are by zero: where they could be, the kernels ask.
jit = numba.njit(cache=True, nogil=True, error_model="numpy")

# An index. Numba asks a signed one whether it counts from the end; in the longest loops that is half of all work.
at = np.uint32

DAY = np.int64(86_400_000_000)  # microseconds
EVER = np.int64(2) ** 62  # a window longer than any history, in microseconds
NEVER = np.int64(np.iinfo(np.int64).min)  # when what has not happened yet was last


def read_only(values: np.ndarray) -> np.ndarray:
    """Return an array that cannot be written, as what lies in files cannot: kernels are compiled for such ones."""
    values = values.view()
    values.flags.writeable = False
    return values
