-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_ORDER_REVIEWS → STG: HCP review.
with published as (
    {{ published('olist', 'order_reviews') }}
)

select
    {{ text('REVIEW_ID') }} as review_id,
    {{ text('ORDER_ID') }} as shipment_id,
    {{ integer('REVIEW_SCORE') }} as review_score,
    {{ text('REVIEW_COMMENT_TITLE') }} as review_title,
    {{ text('REVIEW_COMMENT_MESSAGE') }} as review_text,
    {{ timestamp('REVIEW_CREATION_DATE') }} as survey_sent_on,
    {{ timestamp('REVIEW_ANSWER_TIMESTAMP') }} as survey_answered_at,
    {{ audit_columns() }}
from published
