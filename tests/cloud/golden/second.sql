
-- Plan: 58 unchanged.
