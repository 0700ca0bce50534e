"""The process that the command runs in: signals, the terminal, memory, locks, failures, child processes."""
