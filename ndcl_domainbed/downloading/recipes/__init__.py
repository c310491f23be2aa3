"""Where each dataset is to be had: one file each, with a ``RECIPE``."""
