"""Commands that only read: ``status``, ``why``, and the estimate of a run."""
