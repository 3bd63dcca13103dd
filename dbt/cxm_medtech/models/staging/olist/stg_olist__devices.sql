-- RAW.OLIST_PRODUCTS → STG: one row per device (surgical kit).
with published as (
    {{ published('olist', 'products') }}
)

select
    {{ text('PRODUCT_ID') }} as device_id,
    {{ text('PRODUCT_CATEGORY_NAME') }} as device_category,
    try_cast(trim(PRODUCT_NAME_LENGHT) as integer) as name_length,
    try_cast(trim(PRODUCT_DESCRIPTION_LENGHT) as integer) as description_length,
    try_cast(trim(PRODUCT_PHOTOS_QTY) as integer) as photo_count,
    try_cast(trim(PRODUCT_WEIGHT_G) as number(18, 2)) as weight_g,
    try_cast(trim(PRODUCT_LENGTH_CM) as number(18, 2)) as length_cm,
    try_cast(trim(PRODUCT_HEIGHT_CM) as number(18, 2)) as height_cm,
    try_cast(trim(PRODUCT_WIDTH_CM) as number(18, 2)) as width_cm,
    {{ audit_columns() }}
from published
