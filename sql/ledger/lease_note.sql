-- Records the batches that still have to be recovered, as a JSON array; call it under the lease's lock.
UPDATE {{ database | ident }}.RAW.LOAD_LEASE
SET TO_RECOVER = :2
WHERE SOURCE = :1
