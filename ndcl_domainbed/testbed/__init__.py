"""The embedded testbed: algorithms, networks, datasets and hyper-parameters."""
