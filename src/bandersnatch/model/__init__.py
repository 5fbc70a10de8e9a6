"""Values of the package index, in the words of the PEPs; pure and frozen."""
