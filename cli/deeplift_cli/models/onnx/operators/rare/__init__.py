"""Operators that no model of the tests' zoo and no published model writes, by family.

These operators are converted like all others, and tested by ONNX's own cases. The tests of the zoo's exports
assert that no export contains one of these operators.
"""
