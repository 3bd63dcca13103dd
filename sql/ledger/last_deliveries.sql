-- When each table of a source was last delivered, and the current time.
-- dbt's macro `last_delivery` returns the same for one table.
SELECT
    TABLE_NAME,
    MAX(STARTED_AT) AS LAST_DELIVERY,
    SYSDATE() AS ASKED_AT
FROM (
    SELECT
        DELIVERED.TABLE_NAME,
        DELIVERED.STARTED_AT
    FROM {{ database | ident }}.RAW.LOAD_LEDGER AS DELIVERED
    LEFT JOIN (
        SELECT DISTINCT
            TABLE_NAME,
            BATCH_ID
        FROM {{ database | ident }}.RAW.LOAD_LEDGER
        WHERE SOURCE = :1 AND STATUS = 'validated'
    ) AS STANDING
        ON DELIVERED.TABLE_NAME = STANDING.TABLE_NAME AND DELIVERED.UNCHANGED_SINCE = STANDING.BATCH_ID
    WHERE
        DELIVERED.SOURCE = :1
        AND (
            DELIVERED.STATUS = 'validated'
            OR (DELIVERED.STATUS = 'skipped-unchanged' AND STANDING.BATCH_ID IS NOT NULL)
        )
    QUALIFY
        RANK() OVER (PARTITION BY DELIVERED.TABLE_NAME ORDER BY {{ day }} DESC) = 1
) AS DELIVERIES
GROUP BY TABLE_NAME
