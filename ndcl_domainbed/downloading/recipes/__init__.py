"""Where each data set is to be had: one file each, with a ``RECIPE``."""
