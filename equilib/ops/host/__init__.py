"""Operations on plain NumPy arrays, in place and by blocks that fit the cache."""
