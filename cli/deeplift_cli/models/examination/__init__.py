"""Examination of model files before torch opens them, so that loading a file runs none of its code.

torch never reads a user's archive. The members of the archive are read once and examined, and torch reads an
archive in memory that consists of the examined members. Differences that a second reader of the same file
might see (another member of the same name, bytes before the archive, a replaced file) therefore play no part.
"""
