-- derived from data_dictionary/synthetic.odcs.yaml by `cxm contract sync`
-- RAW.SYNTHETIC_NPS_RESPONSES → STG: NPS survey.
with published as (
    {{ published('synthetic', 'nps_responses') }}
)

select
    {{ text('SURVEY_ID') }} as survey_id,
    {{ text('ACCOUNT_ID') }} as account_id,
    {{ text('HCP_ID') }} as hcp_id,
    {{ integer('SCORE') }} as score,
    {{ text('COMMENT') }} as comment,
    {{ timestamp('SENT_AT') }} as sent_at,
    {{ timestamp('ANSWERED_AT') }} as answered_at,
    {{ audit_columns() }}
from published
