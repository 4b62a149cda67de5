"""Benchmarks, run by hand: `python -m tests.benchmarks`, or with the names of some. pytest collects none.

Each module that `__main__.py` names has a `main()` that measures and prints; `measure.py` is what they share.
"""
