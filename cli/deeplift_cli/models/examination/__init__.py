"""What is examined in a model file before torch opens it, so that loading the file runs none of its code.

torch is never given a user's archive. Its members are read once and examined, and torch gets an archive in
memory that was put together from what was examined. What a second reader of the same file might see (another
member of the same name, other bytes before the archive, a file exchanged meanwhile) plays no part.
"""
