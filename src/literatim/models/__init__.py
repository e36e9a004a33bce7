"""Networks as plain torch modules, and how checkpoints get into them."""
