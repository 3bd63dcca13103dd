-- Columns that the contract has and the table has not; what is there stays. IF NOT EXISTS covers its own column only.
ALTER TABLE CXM_MEDTECH.RAW.CLINIC_VISITS ADD COLUMN
    IF NOT EXISTS SEEN_AT VARCHAR COMMENT 'Seen at: A path such as C:\\visits stands here now and then.',
    IF NOT EXISTS RATING VARCHAR COMMENT 'Rating: From 0 to 10.'
