"""The faults that are foreseen, each with what must happen: the matrix, its oracle, its table."""
