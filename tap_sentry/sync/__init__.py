"""Singer's side of a run: windows, state, messages, metrics and results."""
