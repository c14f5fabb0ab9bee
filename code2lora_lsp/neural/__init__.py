"""Modules and tensor values; no threads, no clock.

Shape legend, used in every docstring below this package:
B batch, T tokens, L layers, D backbone width, R rank, E embedding width,
H hidden width, V vocabulary.
"""
