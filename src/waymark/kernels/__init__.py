"""Loops over the events of one person after another, compiled by Numba; nothing else is.

(`shapley` alone goes over trees, for one row after another.)

Every other kernel takes events grouped by person and, within a person, in time order. Times are int64 microseconds.
Sums of integers are exact; sums of floats run in one order, within one person, so that neither other persons nor the
number of points change a digit.

Those that read numbers out take some persons and their points as a plain tuple of `waymark.tracks.People`: person g has
the events `starts[g] <= i < starts[g + 1]`, which happened at `time`, and the points `point_starts[g] <= p <
point_starts[g + 1]`. Point p sees the person's events before `ends[p]`, ascending, is asked for at `cutoffs[p]`, and is
the one at `first_point + p` among all points. Numbers go to rows of `out`, (n_rows, n_all_points) float32.

No kernel calls one of another file: Numba would not notice a change there, and go on with what it compiled before. And
none takes a named tuple: what was compiled for a class that has moved since cannot be loaded.
`python src/run.py waymark.kernels` compiles them all, so that no first run pays for it.
"""
