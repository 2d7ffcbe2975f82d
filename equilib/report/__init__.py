"""Report about runs: a page with curves, the model on its test data, and the facts of the record."""
