-- RAW.OLIST_GEOLOCATION → STG: one row per point seen in a postal code prefix; repeats are normal and kept.
with published as (
    {{ published('olist', 'geolocation') }}
)

select
    {{ text('GEOLOCATION_ZIP_CODE_PREFIX') }} as postal_area,
    try_cast(trim(GEOLOCATION_LAT) as float) as latitude,
    try_cast(trim(GEOLOCATION_LNG) as float) as longitude,
    {{ text('GEOLOCATION_CITY') }} as city,
    upper({{ text('GEOLOCATION_STATE') }}) as state_code,
    {{ audit_columns() }}
from published
