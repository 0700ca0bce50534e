"""Work on other threads: items prefetched for the main thread, results written in the background."""
