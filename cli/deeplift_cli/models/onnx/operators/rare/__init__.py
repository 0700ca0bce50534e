"""Operators that no model of the tests' zoo and no published model writes, by family.

They convert like all others, and are tested by ONNX's own cases. The tests of the zoo's exports hold that
none of them is written there.
"""
