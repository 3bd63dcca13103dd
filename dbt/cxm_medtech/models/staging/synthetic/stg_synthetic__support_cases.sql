-- derived from data_dictionary/synthetic.odcs.yaml by `cxm contract sync`
-- RAW.SYNTHETIC_SUPPORT_TICKETS → STG: Support case.
with published as (
    {{ published('synthetic', 'support_tickets') }}
)

select
    {{ text('TICKET_ID') }} as case_id,
    {{ text('ACCOUNT_ID') }} as account_id,
    {{ text('HCP_ID') }} as hcp_id,
    {{ text('DEVICE_ID') }} as device_id,
    {{ text('CHANNEL') }} as channel,
    {{ text('CATEGORY') }} as category,
    {{ text('SEVERITY') }} as severity,
    {{ timestamp('OPENED_AT') }} as opened_at,
    {{ timestamp('FIRST_RESPONSE_AT') }} as first_response_at,
    {{ timestamp('CLOSED_AT') }} as closed_at,
    {{ text('STATUS') }} as status,
    {{ audit_columns() }}
from published
