"""Class activation maps under their old name."""
