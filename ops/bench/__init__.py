"""The benches: each measures Darkroom and a baseline in one run, prints a table and JSON, and judges by ratios."""

from ops.bench.command import bench

__all__ = ["bench"]
