-- Loads to prune from RAW: validated ones with :2 newer validated loads of the same file, and quarantined ones that
-- ended more than :3 days ago. The newest validated load of a file is never among them.
-- Files that together make up a table, or a day of it, count as one, because a newer load replaces all of them.
WITH LOADS AS (
    SELECT
        BATCH_ID,
        TABLE_NAME,
        {{ loaded_as }} AS LOADED_AS,
        STATUS,
        MAX(COALESCE(BATCH_SEQUENCE, 0)) AS BATCH_SEQUENCE,
        MAX(FINISHED_AT) AS FINISHED_AT
    FROM {{ database | ident }}.RAW.LOAD_LEDGER
    WHERE
        SOURCE = :1
        AND STATUS IN ('validated', 'quarantined')
        {%- for batch_id, table in without %}
        AND NOT (BATCH_ID = {{ batch_id | literal }} AND TABLE_NAME = {{ table | literal }})
        {%- endfor %}
    GROUP BY BATCH_ID, TABLE_NAME, LOADED_AS, STATUS
)

SELECT
    BATCH_ID,
    TABLE_NAME
FROM LOADS
QUALIFY
    (
        STATUS = 'validated'
        AND ROW_NUMBER() OVER (
            PARTITION BY TABLE_NAME, LOADED_AS, STATUS ORDER BY BATCH_SEQUENCE DESC, BATCH_ID DESC
        ) > :2
    )
    OR (STATUS = 'quarantined' AND FINISHED_AT < DATEADD('day', 0 - :3, SYSDATE()))
ORDER BY BATCH_ID, TABLE_NAME
