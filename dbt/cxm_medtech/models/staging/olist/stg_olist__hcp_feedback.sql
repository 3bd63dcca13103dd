-- RAW.OLIST_ORDER_REVIEWS → STG: one row per HCP feedback on a shipment; one feedback may cover several shipments.
with published as (
    {{ published('olist', 'order_reviews') }}
)

select
    {{ text('REVIEW_ID') }} as feedback_id,
    {{ text('ORDER_ID') }} as surgical_case_shipment_id,
    try_cast(trim(REVIEW_SCORE) as integer) as satisfaction_score,
    {{ text('REVIEW_COMMENT_TITLE') }} as feedback_title,
    {{ text('REVIEW_COMMENT_MESSAGE') }} as feedback_text,
    {{ timestamp('REVIEW_CREATION_DATE') }} as survey_sent_at,
    {{ timestamp('REVIEW_ANSWER_TIMESTAMP') }} as survey_answered_at,
    {{ audit_columns() }}
from published
