"""Which rule every node gets: presets, layer rules, and the plan that results."""
