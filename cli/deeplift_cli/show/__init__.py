"""What is in score files, for people and as a table for programs."""
