#!/usr/bin/env python3
"""row_errors.py REFERENCE.npy LOGITS.f32 TIES: compares an engine's logits in float32 with those of a model in double.

TIES has a line "tie ROW DISTANCE" for each row: how near any activation of the row comes to the boundary between two int8
codes, relative to its size. If that is within the error of float32, the engine may round the other way, and everything
after it may differ a little. So the relative error of a row must be below 1e-5 before the first such row, and below 2e-2
from there on. At least 30 rows must come before it; choose a seed for which they do."""
import sys

import numpy as np

NEAR = 1e-6   # a distance that float32 arithmetic may cross
LEAST = 30

want = np.load(sys.argv[1])
got = np.fromfile(sys.argv[2], "<f4").reshape(want.shape).astype(np.float64)
near = [float(line.split()[2]) for line in open(sys.argv[3]) if line.startswith("tie")]
error = np.sqrt(((got - want) ** 2).sum(1) / (want ** 2).sum(1))
large = [i for i, e in enumerate(error) if not e < 1e-5]
first = large[0] if large else len(error)
print("%d of %d rows under 1e-5 (largest %.1e), the others under %.1e, nearest tie %.1e" % (
    first, len(error), error[:first].max() if first else 0, error.max(), min(near)))
if large and not min(near[:first + 1]) < NEAR:
    sys.exit("row %d is off by %.3g, and no tie explains it" % (first, error[first]))
if first < LEAST:
    sys.exit("%d rows before the first tie, expected at least %d: choose another seed" % (first, LEAST))
if not error.max() < 2e-2:
    sys.exit("row %d is off by %.3g, expected under 2e-2" % (error.argmax(), error.max()))
