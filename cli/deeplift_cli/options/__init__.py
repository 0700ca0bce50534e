"""The options of the subcommands: settings in one place, and the parsers of targets, shards and numbers."""
