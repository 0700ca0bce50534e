"""Work on other threads: items are prefetched for the main thread, results are written in the background."""
