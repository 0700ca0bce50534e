"""The assignment of a rule to every node by presets and layer rules, and the resulting plan."""
