-- INT → MARTS: one row per device or surgical kit.
select
    device_id,
    device_category,
    device_category_in_english,
    device_family,
    device_class,
    weight_in_g,
    length_in_cm,
    height_in_cm,
    width_in_cm,
    volume_in_cm3,
    photos
from {{ ref('int_devices_enriched') }}
