
-- Plan: 55 unchanged.
