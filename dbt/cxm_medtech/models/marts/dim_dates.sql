-- → MARTS: one row per day from 2016 on, before the first shipment, for 15 years. The semantic layer's time spine.
with days as (
    select dateadd(day, row_number() over (order by seq4()) - 1, '2016-01-01'::date)::date as date_day
    from table(generator(rowcount => 5479))
)

select
    date_day,
    year(date_day) as year_number,
    quarter(date_day) as quarter_number,
    month(date_day) as month_number,
    date_trunc('month', date_day)::date as month_start,
    monthname(date_day) as month_name,
    weekiso(date_day) as iso_week,
    yearofweekiso(date_day) as iso_year,
    dayofweekiso(date_day) as iso_day_of_week,
    dayname(date_day) as day_name,
    dayofweekiso(date_day) >= 6 as is_weekend
from days
