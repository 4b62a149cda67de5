"""The run report: what a task did and what its result table holds, in counts."""
