-- derived from data_dictionary/synthetic.odcs.yaml by `cxm contract sync`
-- RAW.SYNTHETIC_DEVICE_COMPLAINTS → STG: Device complaint.
with published as (
    {{ published('synthetic', 'device_complaints') }}
)

select
    {{ text('COMPLAINT_ID') }} as complaint_id,
    {{ text('ACCOUNT_ID') }} as account_id,
    {{ text('HCP_ID') }} as hcp_id,
    {{ text('DEVICE_ID') }} as device_id,
    {{ text('SHIPMENT_ID') }} as shipment_id,
    {{ boolean('IS_REPORTABLE') }} as reportable_event,
    {{ text('NARRATIVE') }} as narrative,
    {{ timestamp('OPENED_AT') }} as opened_at,
    {{ audit_columns() }}
from published
