-- RAW.OLIST_CUSTOMERS → STG: one row per HCP as named on one shipment; hcp_unique_id is the person.
with published as (
    {{ published('olist', 'customers') }}
)

select
    {{ text('CUSTOMER_ID') }} as hcp_id,
    {{ text('CUSTOMER_UNIQUE_ID') }} as hcp_unique_id,
    {{ text('CUSTOMER_ZIP_CODE_PREFIX') }} as postal_area,
    {{ text('CUSTOMER_CITY') }} as city,
    upper({{ text('CUSTOMER_STATE') }}) as state_code,
    {{ audit_columns() }}
from published
