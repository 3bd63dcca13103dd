-- Serialises runs of a source: MERGE waits for another transaction's MERGE of the table, and sees what it left.
MERGE INTO {{ database | ident }}.RAW.LOAD_LEASE AS HELD
USING (SELECT :1 AS SOURCE) AS ASKED
    ON HELD.SOURCE = ASKED.SOURCE
WHEN MATCHED THEN UPDATE SET SOURCE = ASKED.SOURCE
WHEN NOT MATCHED THEN INSERT (SOURCE) VALUES (ASKED.SOURCE)
