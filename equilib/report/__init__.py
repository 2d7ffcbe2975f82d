"""A page about runs that anybody can open: curves, the model on its test data, and the facts of the record."""
