-- Loads (a batch's rows and objects of one table) whose last delivery is longer ago than the contract's retention,
-- and that still have rows in RAW or objects in S3. A file that arrived unchanged counts as delivered again; a replay
-- does not. A batch without a verdict is excluded, because a run may be working on it.
WITH LOADS AS (
    SELECT
        TABLE_NAME,
        IFF(STATUS = 'skipped-unchanged', UNCHANGED_SINCE, BATCH_ID) AS LOAD_ID,
        MAX(STARTED_AT) AS LAST_DELIVERY,
        COUNT_IF(STATUS IN ('landed', 'loaded', 'trial')) AS OPEN_ROWS,
        COUNT_IF(STATUS IN ('validated', 'quarantined') OR S3_KEY IS NOT NULL) AS LEFT_ROWS
    FROM {{ database | ident }}.RAW.LOAD_LEDGER
    WHERE SOURCE = :1 AND STATUS <> 'not-delivered'
    GROUP BY TABLE_NAME, LOAD_ID
)

SELECT
    LOAD_ID AS BATCH_ID,
    TABLE_NAME
FROM LOADS
WHERE
    OPEN_ROWS = 0
    AND LEFT_ROWS > 0
    AND LAST_DELIVERY < CASE TABLE_NAME
        {%- for limit in retentions %}
        WHEN {{ limit.table | literal }} THEN DATEADD({{ limit.unit | literal }}, 0 - {{ limit.value }}, SYSDATE())
        {%- endfor %}
    END
ORDER BY BATCH_ID, TABLE_NAME
