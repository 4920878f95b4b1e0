"""What the benchmarks of the server share: subjects, contenders, load, limits, goals."""
