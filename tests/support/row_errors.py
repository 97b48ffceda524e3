#!/usr/bin/env python3
"""row_errors.py REFERENCE.npy LOGITS.f32 TIES: logits of an engine in float32 against those of a model in double.

TIES has a line "tie ROW DISTANCE" a row: how near an activation of it comes to the boundary of two int8 codes, relative to
its size. Where that is within float32's error the engine may round the other way, and everything after may differ a little:
up to the first such row the relative error of a row must be under 1e-5, and after it under 2e-2. At least 30 rows must stand
before it; a seed is chosen so."""
import sys

import numpy as np

NEAR = 1e-5   # a distance that float32 arithmetic may cross
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
