"""Singer's side of a run: state, messages, metrics and results."""
