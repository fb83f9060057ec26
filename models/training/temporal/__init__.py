"""A small network that follows the expression of one face over uneven frames, and what it is measured against."""
