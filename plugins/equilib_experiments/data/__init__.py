"""The data sets of the experiments: read, downloaded, or replaced by what is at hand offline."""
