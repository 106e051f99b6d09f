# perf: the scripts and small programs of the comparisons.
