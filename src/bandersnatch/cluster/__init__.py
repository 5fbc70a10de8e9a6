"""Several machines: a coordinator that plans and records, and workers that sync projects."""
