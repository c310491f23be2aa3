"""Images in files: finding, reading and transforming them."""
