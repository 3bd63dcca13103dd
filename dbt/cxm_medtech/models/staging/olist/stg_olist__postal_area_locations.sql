-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_GEOLOCATION → STG: Postal area location.
with published as (
    {{ published('olist', 'geolocation') }}
)

select
    {{ text('GEOLOCATION_ZIP_CODE_PREFIX') }} as postal_area,
    {{ number('GEOLOCATION_LAT') }} as latitude,
    {{ number('GEOLOCATION_LNG') }} as longitude,
    {{ text('GEOLOCATION_CITY') }} as city,
    {{ text('GEOLOCATION_STATE') }} as state,
    {{ audit_columns() }}
from published
