
-- Plan: 56 unchanged.
