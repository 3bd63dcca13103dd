
-- Plan: 57 unchanged.
