-- STG → INT: one point for each postal area. An area has many points; the few outside Brazil are left out, and the median is
-- robust against other errors.
with points as (
    select
        postal_area,
        latitude,
        longitude
    from {{ ref('stg_olist__postal_area_locations') }}
    where latitude between -33.76 and 5.28 and longitude between -74.0 and -28.8
)

select
    postal_area,
    median(latitude)::number(9, 6) as latitude,
    median(longitude)::number(9, 6) as longitude,
    count(*) as point_count
from points
group by postal_area
