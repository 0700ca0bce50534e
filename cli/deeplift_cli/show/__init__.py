"""The content of score files as text for people, and as a table for programs."""
