"""The embedded testbed: algorithms, networks, data sets and hyper-parameters."""
