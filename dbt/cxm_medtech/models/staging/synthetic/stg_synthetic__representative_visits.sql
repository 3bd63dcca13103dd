-- derived from data_dictionary/synthetic.odcs.yaml by `cxm contract sync`
-- RAW.SYNTHETIC_REP_VISITS → STG: Representative visit.
with published as (
    {{ published('synthetic', 'rep_visits') }}
)

select
    {{ text('VISIT_ID') }} as visit_id,
    {{ text('REP_ID') }} as representative_id,
    {{ text('ACCOUNT_ID') }} as account_id,
    {{ text('PURPOSE') }} as purpose,
    {{ text('OUTCOME') }} as outcome,
    {{ date('VISIT_DATE') }} as visit_date,
    {{ audit_columns() }}
from published
