"""Summation-to-delta: the error that is promised, and the rescoring that keeps the promise in float32."""
