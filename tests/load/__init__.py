"""Benchmarks. Each prints both sides of a comparison and their ratio from one run; none is a timed test."""
