-- Adds columns that the contract has and the table lacks; nothing else changes. IF NOT EXISTS applies to one column.
ALTER TABLE CXM_MEDTECH.RAW.CLINIC_VISITS ADD COLUMN
    IF NOT EXISTS SEEN_AT VARCHAR COMMENT 'Seen at: A path such as C:\\visits stands here now and then.',
    IF NOT EXISTS RATING VARCHAR COMMENT 'Rating: From 0 to 10.'
