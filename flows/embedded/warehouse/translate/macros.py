"""The macros by which DuckDB computes with dates, times and timestamps as Snowflake does: `_cxm_…`, one set for each database.

Snowflake's call ──translate/times──▶ _cxm_…(value) ──DuckDB, by the value's own type──▶ what Snowflake documents

TIMESTAMP_NTZ is DuckDB's TIMESTAMP, TIMESTAMP_LTZ its TIMESTAMP WITH TIME ZONE, TIMESTAMP_TZ a struct of an instant in UTC and an
offset in minutes, which DuckDB's zoned type forgets (https://docs.snowflake.com/en/sql-reference/data-types-datetime).
A macro has one body for each type of its argument. For an invalid value a body calls `_cxm_fail`, with Snowflake's error number.
"""

# ruff: noqa: E501 (SQL, one macro a line)

from __future__ import annotations

from flows.embedded.warehouse.text.errors import RAISED
from flows.embedded.warehouse.text.grammar import quote_name

# TIMESTAMP_TZ as DuckDB has it.
ZONED = 'STRUCT("CXM_UTC" TIMESTAMP, "CXM_OFFSET" DOUBLE)'

# Formats that AUTO knows besides ISO's (https://docs.snowflake.com/en/sql-reference/date-time-input-output#date-formats).
_AUTO = (
    "%d-%b-%Y", "%d-%B-%Y", "%m/%d/%Y", "%d-%b-%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M",
    "%a, %d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S.%f", "%a, %d %b %Y %I:%M:%S %p", "%a, %d %b %Y %I:%M:%S.%f %p",
    "%d %b %Y %H:%M:%S", "%d %b %Y %I:%M:%S %p", "%a %b %d %H:%M:%S %Y",
)  # fmt: skip
_AUTO_TIMES = ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M", "%I:%M:%S.%f %p", "%I:%M:%S %p", "%I:%M %p")
_NUMBERS = "typeof(V) SIMILAR TO '(TINY|SMALL|BIG|HUGE|U|UBIG|UHUGE|USMALL|UTINY)?INT(EGER)?|INTEGER|DECIMAL.*|DOUBLE|FLOAT|BIGNUM'"

# The zone after a time of day (a date's own hyphens do not start one).
_ZONE = r"(:\d{2}(?:\.\d*)?(?:\s?[AaPp][Mm])?|[T ]\d{2})\s?(Z|[+-]\d{1,2}(?::?\d{2})?)$"
_MIDDLE_ZONE = r"\s([+-]\d{4})(\s\d{4})$"


def _list(formats: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{f}'" for f in formats) + "]"


# (name and further parameters, [(type of V, body)]); a body without a type is for every other type.
_MACROS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("_cxm_fail", "NUMBER, STATE, TEXT", (("", f"error('{RAISED}' || NUMBER || ':' || STATE || ':' || TEXT)"),)),
    ("_cxm_no_part", "PART, NAME", (("", "_cxm_fail('001045', '22023', 'SQL compilation error:' || chr(10) || '''' || PART || "
        "''' is not a valid date/time component for function ' || NAME || ' and type TIME')"),)),
    # ---- semi-structured: NAME is a function of `json_values.call`, its arguments are texts of JSON
    ("_cxm_js", "J", (("", "CASE WHEN typeof(J) = 'JSON' THEN CAST(J AS VARCHAR) ELSE CAST(to_json(J) AS VARCHAR) END"),)),
    ("_cxm_digits_of", "N", (("", "CAST(N AS VARCHAR)"),)),
    ("_cxm_is_float", "N", (("", "typeof(N) IN ('DOUBLE', 'FLOAT')"),)),
    ("_cxm_substr", "S, N", (("", """list_transform([{'S': CAST(S AS VARCHAR), 'N': CAST(N AS BIGINT)}], lambda R: CASE WHEN R.N < -length(R.S)
        THEN '' WHEN R.N = 0 THEN R.S ELSE substring(R.S, R.N) END)[1]"""),)),
    ("_cxm_substr3", "S, N, L", (("", """list_transform([{'S': CAST(S AS VARCHAR), 'N': CAST(N AS BIGINT), 'L': CAST(L AS BIGINT)}], lambda R:
        CASE WHEN R.L IS NULL THEN NULL WHEN R.N < -length(R.S) OR R.L < 0 THEN '' WHEN R.N = 0 THEN substring(R.S, 1, R.L)
        ELSE substring(R.S, R.N, R.L) END)[1]"""),)),
    ("_cxm_order", "J", (("", """list_transform([CAST(J AS JSON)], lambda S: CASE WHEN S IS NULL OR json_type(S) = 'NULL' THEN NULL
        ELSE {'N': CASE WHEN json_type(S) IN ('VARCHAR', 'ARRAY', 'OBJECT', 'BOOLEAN') THEN NULL ELSE TRY_CAST(S AS DOUBLE) END,
              'T': json_extract_string(S, '$')} END)[1]"""),)),
    # without a lambda, so that the engine recognises the same call in SELECT and in GROUP BY
    ("_cxm_one_json", "J", (("", "CASE WHEN json_type(CAST(J AS JSON)) IN ('DOUBLE', 'OBJECT', 'ARRAY') "
        "THEN CAST(_cxm_grouped_json(CAST(J AS VARCHAR)) AS JSON) ELSE CAST(J AS JSON) END"),)),
    ("_cxm_as_json", "J", (("", "CAST(J AS JSON)"),)),
    ("_cxm_no_null", "J", (("", "CASE WHEN json_type(CAST(J AS JSON)) <> 'NULL' THEN J END"),)),
    ("_cxm_float_in_json", "N", (("", "CASE WHEN isfinite(N) THEN CAST(printf('%.15e', N) AS JSON) ELSE to_json(CAST(N AS VARCHAR)) END"),)),
    ("_cxm_double", "N", (("", "CAST(N AS DOUBLE)"),)),
    ("_cxm_hundredths", "N", (("", "CAST(floor(N * 100 + 1e-9) AS BIGINT)"),)),
    ("_cxm_js1", "NAME, A", (("", "CAST(_cxm_json1(NAME, A) AS JSON)"),)),
    ("_cxm_js2", "NAME, A, B", (("", "CAST(_cxm_json2(NAME, A, B) AS JSON)"),)),
    ("_cxm_js3", "NAME, A, B, C", (("", "CAST(_cxm_json3(NAME, A, B, C) AS JSON)"),)),
    ("_cxm_js_many", "NAME, L", (("", "CAST(_cxm_json_many(NAME, L) AS JSON)"),)),
    ("_cxm_array_of", "L", (("", "CAST('[' || coalesce(array_to_string(list_filter(L, lambda X: X IS NOT NULL), ','), '') || ']' AS JSON)"),)),
    ("_cxm_array_all", "L", (("", """list_transform([L], lambda K: CASE WHEN len(list_filter(K, lambda X: X IS NULL)) > 0 THEN
        _cxm_fail('000002', '0A000', 'Unsupported feature ''a NULL in ARRAY_CONSTRUCT (undefined)'' in the embedded warehouse')
        ELSE CAST('[' || array_to_string(K, ',') || ']' AS JSON) END)[1]"""),)),
    ("_cxm_parse_json", "J", (("", r"""list_transform([CAST(J AS VARCHAR)], lambda S: CASE WHEN trim(S) = '' THEN NULL
        WHEN regexp_full_match(S, '\s*-?\d+(\.\d+)?[eE][-+]?\d+\s*') THEN CAST(trim(S) AS JSON)
        WHEN json_valid(S) AND NOT regexp_matches(S, '[\[{]') THEN json(S) ELSE CAST(_cxm_parsed_json(S) AS JSON) END)[1]""".replace("\\\\", "\\")),)),
    ("_cxm_try_parse_json", "J", (("", "list_transform([CAST(J AS VARCHAR)], lambda S: CASE WHEN json_valid(S) AND NOT regexp_matches(S, '[\\[{]') THEN json(S) "
        "ELSE CAST(_cxm_try_parsed_json(S) AS JSON) END)[1]"),)),
    # ---- text in
    ("_cxm_unzoned", "S", (("", f"regexp_replace(regexp_replace(S, '{_ZONE}', '\\1'), '{_MIDDLE_ZONE}', '\\2')"),)),
    ("_cxm_zone", "S", (("", f"""
        CASE WHEN S LIKE '%Z' AND regexp_matches(S, '{_ZONE}') THEN 0
        ELSE (SELECT CASE WHEN Z = '' THEN NULL ELSE TRY_CAST(regexp_extract(Z, '^([+-]\\d{{1,2}})', 1) AS BIGINT) * 60
              + (CASE WHEN Z[1] = '-' THEN -1 ELSE 1 END) * coalesce(TRY_CAST(regexp_extract(Z, '(\\d{{2}})$', 1) AS BIGINT), 0)
              * (CASE WHEN length(Z) > 3 THEN 1 ELSE 0 END) END
              FROM (SELECT coalesce(nullif(regexp_extract(S, '{_ZONE}', 2), ''), regexp_extract(S, '{_MIDDLE_ZONE}', 1)) AS Z)) END"""),)),
    ("_cxm_fine_parts", "N", (("", """CASE WHEN CAST(N AS BIGINT) % 1000 <> 0 THEN _cxm_fail('000002', '0A000',
        'Unsupported feature ''nanoseconds'' in the embedded warehouse: ' || N) ELSE CAST(N AS BIGINT) END"""),)),
    ("_cxm_epoch", "S", (("", """
        CASE WHEN abs(CAST(S AS HUGEINT)) < 31536000000 THEN make_timestamp(CAST(S AS BIGINT) * 1000000)
        WHEN abs(CAST(S AS HUGEINT)) < 31536000000000 THEN make_timestamp(CAST(S AS BIGINT) * 1000)
        WHEN abs(CAST(S AS HUGEINT)) < 31536000000000000 THEN make_timestamp(CAST(S AS BIGINT))
        ELSE make_timestamp(_cxm_fine_parts(S) // 1000) END"""),)),
    ("_cxm_fine", "S", (("", """
        CASE WHEN regexp_matches(S, '\\.\\d{6}\\d*[1-9]') THEN _cxm_fail('000002', '0A000',
            'Unsupported feature ''nanoseconds'' in the embedded warehouse: ' || S) ELSE S END"""),)),
    ("_cxm_wall", "S", (("", f"""
        CASE WHEN regexp_full_match(S, '\\d{{4}}-\\d\\d-\\d\\d([ T]\\d\\d:\\d\\d(:\\d\\d(\\.\\d{{1,6}})?)?)?') THEN TRY_CAST(S AS TIMESTAMP)
        WHEN regexp_full_match(trim(S), '-?\\d{{1,18}}|-?[1-8]\\d{{18}}') THEN _cxm_epoch(trim(S))
        WHEN regexp_matches(S, '^\\s*\\d{{1,4}}-\\d{{1,2}}-\\d{{1,2}}([ T]\\d{{1,2}})?') THEN TRY_CAST(regexp_replace(
            _cxm_unzoned(_cxm_fine(trim(S))), '([ T]\\d{{1,2}})$', '\\1:00') AS TIMESTAMP)
        ELSE try_strptime(_cxm_unzoned(trim(S)), {_list(_AUTO)}) END"""),)),
    ("_cxm_wall_time", "S", (("", f"""
        CASE WHEN regexp_full_match(S, '([01]\\d|2[0-3]):\\d\\d:\\d\\d(\\.\\d{{1,6}})?') THEN TRY_CAST(S AS TIME)
        ELSE CAST(try_strptime(_cxm_fine(trim(S)), {_list(_AUTO_TIMES)}) AS TIME) END"""),)),
    ("_cxm_plain", "V", (("", "CASE WHEN typeof(V) = 'JSON' THEN json_extract_string(TRY_CAST(V AS JSON), '$') ELSE CAST(V AS VARCHAR) END"),)),
    # ---- from one kind to another
    ("_cxm_local", "V", ((ZONED, "V.CXM_UTC + to_minutes(CAST(V.CXM_OFFSET AS BIGINT))"), ("", "V"))),
    ("_cxm_zoned", "V, O", (("", "CASE WHEN V IS NOT NULL AND O IS NOT NULL THEN {'CXM_UTC': V, 'CXM_OFFSET': CAST(O AS DOUBLE)} END"),)),
    ("_cxm_at", "V", (("", "_cxm_zoned(timezone('UTC', V), datediff('minute', timezone('UTC', V), CAST(V AS TIMESTAMP)))"),)),
    ("_cxm_try_ntz", "V", (
        ("TIMESTAMP", "V"), ("DATE", "CAST(V AS TIMESTAMP)"), ("TIMESTAMP WITH TIME ZONE", "CAST(V AS TIMESTAMP)"),
        (ZONED, "V.CXM_UTC + to_minutes(CAST(V.CXM_OFFSET AS BIGINT))"),
        # a number in a VARIANT is an instant (https://docs.snowflake.com/en/sql-reference/functions/to_timestamp#usage-notes)
        ("", f"CASE WHEN {_NUMBERS} THEN make_timestamp(CAST(TRY_CAST(V AS DOUBLE) * 1000000 AS BIGINT)) "
             "WHEN typeof(V) = 'JSON' AND regexp_full_match(CAST(V AS VARCHAR), '-?\\d{1,18}|-?[1-8]\\d{18}') "
             "THEN CAST(timezone('UTC', _cxm_wall(CAST(V AS VARCHAR))) AS TIMESTAMP) ELSE _cxm_wall(_cxm_plain(V)) END"),
    )),
    ("_cxm_try_ltz", "V", (
        ("TIMESTAMP WITH TIME ZONE", "V"), ("TIMESTAMP", "CAST(V AS TIMESTAMPTZ)"), ("DATE", "CAST(CAST(V AS TIMESTAMP) AS TIMESTAMPTZ)"),
        (ZONED, "timezone('UTC', V.CXM_UTC)"),
        ("", f"""CASE WHEN {_NUMBERS} THEN timezone('UTC', make_timestamp(CAST(TRY_CAST(V AS DOUBLE) * 1000000 AS BIGINT)))
            WHEN regexp_full_match(trim(_cxm_plain(V)), '-?\\d{{1,18}}|-?[1-8]\\d{{18}}') THEN timezone('UTC', _cxm_wall(_cxm_plain(V)))
            WHEN _cxm_zone(trim(_cxm_plain(V))) IS NULL THEN CAST(_cxm_wall(_cxm_plain(V)) AS TIMESTAMPTZ)
            ELSE timezone('UTC', _cxm_wall(_cxm_plain(V)) - to_minutes(_cxm_zone(trim(_cxm_plain(V))))) END"""),
    )),
    ("_cxm_try_tz", "V", (
        (ZONED, "V"), ("TIMESTAMP WITH TIME ZONE", "_cxm_at(V)"), ("TIMESTAMP", "_cxm_at(CAST(V AS TIMESTAMPTZ))"),
        ("DATE", "_cxm_at(CAST(CAST(V AS TIMESTAMP) AS TIMESTAMPTZ))"),
        ("", """CASE WHEN V IS NULL OR _cxm_try_ltz(V) IS NULL THEN NULL WHEN _cxm_zone(trim(_cxm_plain(V))) IS NULL THEN _cxm_at(_cxm_try_ltz(V))
            ELSE _cxm_zoned(timezone('UTC', _cxm_try_ltz(V)), _cxm_zone(trim(_cxm_plain(V)))) END"""),
    )),
    ("_cxm_try_date", "V", (
        ("DATE", "V"), ("TIMESTAMP", "CAST(V AS DATE)"), ("TIMESTAMP WITH TIME ZONE", "CAST(CAST(V AS TIMESTAMP) AS DATE)"),
        (ZONED, "CAST(_cxm_local(V) AS DATE)"),
        ("", f"CASE WHEN {_NUMBERS} OR typeof(V) = 'BOOLEAN' THEN _cxm_fail('001044', '42P13', 'SQL compilation error:' || chr(10) || "
             "'Invalid argument types for function ''TO_DATE'': (' || typeof(V) || ')') ELSE CAST(_cxm_wall(_cxm_plain(V)) AS DATE) END"),
    )),
    ("_cxm_try_time", "V", (
        ("TIME", "V"), ("DATE", "_cxm_fail('001044', '42P13', 'SQL compilation error:' || chr(10) || "
            "'Invalid argument types for function ''TO_TIME'': (DATE)')"),
        ("TIMESTAMP", "CAST(V AS TIME)"), ("TIMESTAMP WITH TIME ZONE", "CAST(CAST(V AS TIMESTAMP) AS TIME)"),
        (ZONED, "CAST(_cxm_local(V) AS TIME)"),
        ("", f"CASE WHEN {_NUMBERS} OR typeof(V) IN ('BOOLEAN', 'DATE') THEN _cxm_fail('001044', '42P13', 'SQL compilation error:' || chr(10) || "
             "'Invalid argument types for function ''TO_TIME'': (' || typeof(V) || ')') "
             "ELSE coalesce(_cxm_wall_time(_cxm_plain(V)), CAST(_cxm_wall(_cxm_plain(V)) AS TIME)) END"),
    )),
    *(
        (f"_cxm_{kind}", "V", (("", f"CASE WHEN V IS NULL THEN NULL ELSE coalesce(_cxm_try_{kind}(V), _cxm_fail('{number}', '22007', "
                                    f"'{word} ''' || CAST(V AS VARCHAR) || ''' is not recognized')) END"),))
        for kind, number, word in (
            ("ntz", "100035", "Timestamp"), ("ltz", "100035", "Timestamp"), ("tz", "100035", "Timestamp"),
            ("date", "100040", "Date"), ("time", "100108", "Time"),
        )
    ),
    # ---- text in, by a format: F is strptime's, without a zone
    ("_cxm_parsed", "S, F", (("", "try_strptime(_cxm_fine(S), F)"),)),
    ("_cxm_parsed_or_fail", "S, F, N, W", (("", "CASE WHEN S IS NULL THEN NULL ELSE coalesce(try_strptime(_cxm_fine(S), F), _cxm_fail(N, '22007', "
        "'Can''t parse ''' || S || ''' as ' || W || ' with the given format')) END"),)),
    # ---- fractions of a second
    ("_cxm_scaled", "V, P", (
        ("TIMESTAMP", "make_timestamp(epoch_us(V) - ((epoch_us(V) % P) + P) % P)"),
        ("TIMESTAMP WITH TIME ZONE", "timezone('UTC', make_timestamp(epoch_us(V) - ((epoch_us(V) % P) + P) % P))"),
        ("TIME", "CAST(make_timestamp((epoch_us(DATE '1970-01-01' + V) // P) * P) AS TIME)"),
        (ZONED, "_cxm_zoned(make_timestamp(epoch_us(V.CXM_UTC) - ((epoch_us(V.CXM_UTC) % P) + P) % P), V.CXM_OFFSET)"),
    )),
    # ---- text out
    ("_cxm_offset", "O", (("", "CASE WHEN O < 0 THEN '-' ELSE '+' END || lpad(CAST(abs(O) // 60 AS VARCHAR), 2, '0')"),)),
    ("_cxm_written", "T, O, F", (("", "replace(replace(strftime(T, F), chr(1), _cxm_offset(O)), chr(2), lpad(CAST(abs(O) % 60 AS VARCHAR), 2, '0'))"),)),
    ("_cxm_format", "F, V", (
        ("DATE", "strftime(V, F)"), ("TIMESTAMP", "strftime(V, F)"), ("TIME", "strftime(DATE '1970-01-01' + V, F)"),
        ("TIMESTAMP WITH TIME ZONE", "_cxm_written(CAST(V AS TIMESTAMP), datediff('minute', timezone('UTC', V), CAST(V AS TIMESTAMP)), F)"),
        (ZONED, "_cxm_written(_cxm_local(V), CAST(V.CXM_OFFSET AS BIGINT), F)"),
        ("", """CASE WHEN V IS NULL THEN NULL ELSE _cxm_fail('000002', '0A000',
            'Unsupported feature ''TO_CHAR of ' || typeof(V) || ' with a format'' in the embedded warehouse') END"""),
    )),
    ("_cxm_float", "V", (("", r"""
        CASE WHEN isnan(V) THEN 'NaN' WHEN isinf(V) THEN CASE WHEN V > 0 THEN 'inf' ELSE '-inf' END
        WHEN V = 0 THEN '0'
        WHEN abs(V) < 1e15 AND V = trunc(V) THEN CAST(CAST(V AS HUGEINT) AS VARCHAR)
        WHEN abs(V) BETWEEN 1e-4 AND 1e15
            THEN regexp_replace(CAST(round(V, 9 + CAST(greatest(0, ceil(-log10(abs(V)) - 1e-12)) AS INTEGER)) AS VARCHAR), '\.0$', '')
        ELSE regexp_replace(printf('%.9e', V), '\.?0*e', 'e') END"""),)),
    ("_cxm_text", "V", (
        ("DATE", "strftime(V, coalesce(getvariable('cxm_date'), '%Y-%m-%d'))"),
        ("TIME", "strftime(DATE '1970-01-01' + V, coalesce(getvariable('cxm_time'), '%H:%M:%S'))"),
        ("TIMESTAMP", "strftime(V, coalesce(getvariable('cxm_ntz'), '%Y-%m-%d %H:%M:%S.%g'))"),
        ("TIMESTAMP WITH TIME ZONE", "_cxm_format(coalesce(getvariable('cxm_ltz'), '%Y-%m-%d %H:%M:%S.%g ' || chr(1) || chr(2)), V)"),
        (ZONED, "_cxm_format(coalesce(getvariable('cxm_tz'), '%Y-%m-%d %H:%M:%S.%g ' || chr(1) || chr(2)), V)"),
        ("BLOB", "hex(V)"),
        ("", """CASE WHEN typeof(V) IN ('DOUBLE', 'FLOAT') THEN _cxm_float(TRY_CAST(V AS DOUBLE))
            WHEN typeof(V) = 'JSON' THEN CASE WHEN json_type(TRY_CAST(V AS JSON)) IN ('OBJECT', 'ARRAY', 'DOUBLE')
                THEN _cxm_compact_text(CAST(V AS VARCHAR)) ELSE json_extract_string(TRY_CAST(V AS JSON), '$') END
            WHEN typeof(V) LIKE '%]' OR typeof(V) LIKE 'STRUCT%' THEN _cxm_compact_text(_cxm_js(V)) ELSE CAST(V AS VARCHAR) END"""),
    )),
    # Most texts need no trimming, and checking costs DuckDB a sixth of what TRIM costs.
    ("_cxm_trim", "T, C", (("", "CASE WHEN strpos(C, left(T, 1)) = 0 AND strpos(C, right(T, 1)) = 0 THEN T ELSE trim(T, C) END"),)),
    # ---- semi-structured
    ("_cxm_typeof", "V", (("", f"""
        CASE WHEN V IS NULL THEN NULL
        WHEN typeof(V) = 'JSON' THEN CASE json_type(TRY_CAST(V AS JSON)) WHEN 'NULL' THEN 'NULL_VALUE' WHEN 'DOUBLE' THEN
            CASE WHEN CAST(V AS VARCHAR) ILIKE '%e%' THEN 'DOUBLE' WHEN regexp_matches(CAST(V AS VARCHAR), '\\.0+$') THEN 'INTEGER' ELSE 'DECIMAL' END
            WHEN 'VARCHAR' THEN 'VARCHAR' WHEN 'BOOLEAN' THEN 'BOOLEAN' WHEN 'ARRAY' THEN 'ARRAY' WHEN 'OBJECT' THEN 'OBJECT' ELSE 'INTEGER' END
        WHEN typeof(V) LIKE '%[]' THEN 'ARRAY' WHEN typeof(V) IN ('DOUBLE', 'FLOAT') THEN 'DOUBLE'
        WHEN {_NUMBERS} THEN CASE WHEN TRY_CAST(V AS DECIMAL(38, 9)) = trunc(TRY_CAST(V AS DECIMAL(38, 9))) THEN 'INTEGER' ELSE 'DECIMAL' END
        WHEN typeof(V) = 'TIMESTAMP' THEN 'TIMESTAMP_NTZ' WHEN typeof(V) LIKE 'TIMESTAMP WITH%' THEN 'TIMESTAMP_LTZ'
        WHEN typeof(V) LIKE 'STRUCT%' THEN 'TIMESTAMP_TZ' WHEN typeof(V) = 'BLOB' THEN 'BINARY' ELSE typeof(V) END"""),)),
    ("_cxm_array", "J", (("", "coalesce(to_json(list_filter(CAST(J AS JSON[]), lambda X: json_type(X) <> 'NULL')), CAST('[]' AS JSON))"),)),
    ("_cxm_from_base64", "N", (("", "from_base64(CAST(N AS VARCHAR))"),)),
    ("_cxm_base64", "V", (("BLOB", "to_base64(V)"), ("", "to_base64(encode(CAST(V AS VARCHAR)))"))),
    ("_cxm_numeric_text", "S", (("", "CASE WHEN S IS NULL OR TRY_CAST(S AS DOUBLE) IS NOT NULL THEN S ELSE "
        "_cxm_fail('100038', '22018', 'Numeric value ''' || S || ''' is not recognized') END"),)),
    ("_cxm_bytes", "V", (("BLOB", "octet_length(V)"), ("", "strlen(CAST(V AS VARCHAR))"))),
    ("_cxm_encoded", "N", (("", "encode(CAST(N AS VARCHAR))"),)),
    ("_cxm_binary", "V", (("BLOB", "V"), ("", "unhex(CASE WHEN length(CAST(V AS VARCHAR)) % 2 = 1 THEN _cxm_fail('100115', '22000', "
        "'The following string is not a legal hex-encoded value: ''' || CAST(V AS VARCHAR) || chr(39)) ELSE CAST(V AS VARCHAR) END)"))),
    # ---- arithmetic
    ("_cxm_trunc", "P, V", (
        ("DATE", "CAST(date_trunc(P, V) AS DATE)"), ("TIMESTAMP", "date_trunc(P, V)"), ("TIMESTAMP WITH TIME ZONE", "date_trunc(P, V)"),
        ("TIME", "CASE WHEN P IN ('day', 'week', 'month', 'quarter', 'year') THEN _cxm_no_part(P, 'DATE_TRUNC') "
            "ELSE CAST(date_trunc(P, DATE '1970-01-01' + V) AS TIME) END"),
        (ZONED, "_cxm_zoned(date_trunc(P, _cxm_local(V)) - to_minutes(CAST(V.CXM_OFFSET AS BIGINT)), V.CXM_OFFSET)"), ("", "date_trunc(P, _cxm_ntz(V))"),
    )),
    ("_cxm_add_days", "I, V", (
        ("TIME", "CASE WHEN V IS NULL OR I IS NULL THEN NULL ELSE _cxm_no_part('A day or more', 'DATEADD') END"),
        ("DATE", "CAST(V + I AS DATE)"), ("TIMESTAMP", "V + I"), ("TIMESTAMP WITH TIME ZONE", "V + I"),
        (ZONED, "_cxm_zoned(_cxm_local(V) + I - to_minutes(CAST(V.CXM_OFFSET AS BIGINT)), V.CXM_OFFSET)"), ("", "_cxm_ntz(V) + I"),
    )),
    ("_cxm_add_time", "I, V", (
        ("DATE", "V + I"), ("TIMESTAMP", "V + I"), ("TIMESTAMP WITH TIME ZONE", "V + I"), ("TIME", "V + I"),
        (ZONED, "_cxm_zoned(V.CXM_UTC + I, V.CXM_OFFSET)"), ("", "_cxm_ntz(V) + I"),
    )),
    ("_cxm_thousandfold", "N", (("", "CAST(N AS DECIMAL(38, 0)) * 1000"),)),
    ("_cxm_nanoseconds", "N", (("", "CAST(microsecond(N) % 1000000 * 1000 AS BIGINT)"),)),
    ("_cxm_since_epoch", "N, P", (("", "make_timestamp(CAST(trunc(CAST(N AS DECIMAL(38, 9)) / P * 1000000) AS BIGINT))"),)),
    ("_cxm_from_parts", "Y, MO, D, H, MI, S, U", (("", "make_timestamp(CAST(Y AS BIGINT), 1, 1, 0, 0, 0) + to_months(CAST(MO - 1 AS INTEGER)) + "
        "to_days(CAST(D - 1 AS INTEGER)) + to_hours(CAST(H AS BIGINT)) + to_minutes(CAST(MI AS BIGINT)) + to_seconds(CAST(S AS BIGINT)) + to_microseconds(CAST(U AS BIGINT))"),)),
    ("_cxm_time_from_parts", "H, MI, S, U", (("", """list_transform([CAST(H AS BIGINT) * 3600000000 + CAST(MI AS BIGINT) * 60000000
        + CAST(S AS BIGINT) * 1000000 + CAST(U AS BIGINT)], lambda M: CASE WHEN M IS NULL THEN NULL WHEN M BETWEEN 0 AND 86399999999
        THEN CAST(make_timestamp(M) AS TIME) ELSE _cxm_fail('000002', '0A000',
        'Unsupported feature ''TIME_FROM_PARTS of a time that is not within one day (undefined)'' in the embedded warehouse') END)[1]"""),)),
    # https://docs.snowflake.com/en/sql-reference/functions/cot#examples
    ("_cxm_cotangent", "N", (("", "CASE WHEN N = 0 THEN CAST('inf' AS DOUBLE) ELSE cot(CASE WHEN N <> 0 THEN N END) END"),)),
    ("_cxm_big", "V", (("", "CAST(round(V) AS BIGINT)"),)),
    ("_cxm_int", "V", (("", "CAST(round(V) AS INTEGER)"),)),
    ("_cxm_months_on", "N, V", (("", "CASE WHEN CAST(V AS DATE) = last_day(V) THEN CAST(last_day(V + to_months(N)) AS TIMESTAMP) + "
        "(V - date_trunc('day', V)) ELSE V + to_months(N) END"),)),
    ("_cxm_add_months", "N, V", (
        ("DATE", "CAST(_cxm_months_on(N, CAST(V AS TIMESTAMP)) AS DATE)"), ("TIMESTAMP", "_cxm_months_on(N, V)"),
        ("TIMESTAMP WITH TIME ZONE", "CAST(_cxm_months_on(N, CAST(V AS TIMESTAMP)) AS TIMESTAMPTZ)"),
        (ZONED, "_cxm_zoned(_cxm_months_on(N, _cxm_local(V)) - to_minutes(CAST(V.CXM_OFFSET AS BIGINT)), V.CXM_OFFSET)"),
        ("", "_cxm_months_on(N, _cxm_ntz(V))"),
    )),
    ("_cxm_months_between", "A, B", (("", """round(list_transform([{'A': A, 'B': B}], lambda R: 12 * (year(R.A) - year(R.B)) + month(R.A) - month(R.B)
        + CASE WHEN day(R.A) = day(R.B) OR (CAST(R.A AS DATE) = last_day(R.A) AND CAST(R.B AS DATE) = last_day(R.B)) THEN 0
        ELSE (day(R.A) - day(R.B) + (epoch_us(R.A - date_trunc('day', R.A)) - epoch_us(R.B - date_trunc('day', R.B))) / 86400e6) / 31e0 END)[1], 6)"""),)),
    ("_cxm_difference", "P, A, B", (("", "date_diff(P, date_trunc(P, A), date_trunc(P, B))"),)),
    # the value that a part or a difference is taken from: the wall clock, or the instant
    ("_cxm_clock", "V", (
        ("TIMESTAMP", "V"), ("DATE", "CAST(V AS TIMESTAMP)"), ("TIMESTAMP WITH TIME ZONE", "CAST(V AS TIMESTAMP)"),
        ("TIME", "DATE '1970-01-01' + V"), (ZONED, "_cxm_local(V)"), ("", "_cxm_ntz(V)"),
    )),
    ("_cxm_instant", "V", (
        (ZONED, "timezone('UTC', V.CXM_UTC)"), ("TIMESTAMP WITH TIME ZONE", "V"), ("", "V"),
    )),
    ("_cxm_since", "V", (
        (ZONED, "V.CXM_UTC"), ("TIMESTAMP WITH TIME ZONE", "timezone('UTC', V)"), ("TIMESTAMP", "V"), ("DATE", "CAST(V AS TIMESTAMP)"),
        ("", "_cxm_ntz(V)"),
    )),
    ("_cxm_minutes", "V", (
        (ZONED, "CAST(V.CXM_OFFSET AS BIGINT)"), ("TIMESTAMP WITH TIME ZONE", "datediff('minute', timezone('UTC', V), CAST(V AS TIMESTAMP))"),
    )),
    ("_cxm_moved", "Z, V", (("", "CASE WHEN V IS NOT NULL AND Z IS NOT NULL "
        "THEN _cxm_zoned(timezone('UTC', V), datediff('minute', timezone('UTC', V), timezone(Z, V))) END"),)),
    ("_cxm_weekday", "S", (("", "CASE lower(trim(S))[1:2] WHEN 'mo' THEN 1 WHEN 'tu' THEN 2 WHEN 'we' THEN 3 WHEN 'th' THEN 4 WHEN 'fr' THEN 5 "
        "WHEN 'sa' THEN 6 WHEN 'su' THEN 7 ELSE _cxm_fail('100040', '22007', 'Day of week ''' || S || ''' is not recognized') END"),)),
    ("_cxm_next_day", "V, S", (("", "CAST(V + CAST(((_cxm_weekday(S) - isodow(V) + 6) % 7) + 1 AS INTEGER) AS DATE)"),)),
    ("_cxm_previous_day", "V, S", (("", "CAST(V - CAST(((isodow(V) - _cxm_weekday(S) + 6) % 7) + 1 AS INTEGER) AS DATE)"),)),
)  # fmt: skip


# (name, parameters, what they select): rows in FROM; SEQ is the number of the row that they are joined to.
_TABLES = (
    ("_cxm_flatten", "N, J, P, O, R, M", """SELECT CAST(N AS DECIMAL(38, 0)) AS "SEQ", F."KEY" AS "KEY", F."PATH" AS "PATH",
        CAST(F."INDEX" AS DECIMAL(38, 0)) AS "INDEX", CAST(F."VALUE" AS JSON) AS "VALUE",
        CASE WHEN R THEN CAST(F."THIS" AS JSON) ELSE H END AS "THIS"
        FROM (SELECT unnest(_cxm_flattened(_cxm_js(J), P, O, R, M)) AS F, CAST(_cxm_holder(_cxm_js(J), P) AS JSON) AS H)"""),
    ("_cxm_split_rows", "N, S, D", """SELECT CAST(N AS DECIMAL(38, 0)) AS "SEQ", CAST(F.I AS DECIMAL(38, 0)) AS "INDEX", F.T AS "VALUE"
        FROM (SELECT unnest(list_transform(CASE WHEN D = '' THEN [S] ELSE str_split(S, D) END, lambda T, I: {'I': I, 'T': T})) AS F)"""),
    ("_cxm_strtok_rows", "N, S, D", """SELECT CAST(N AS DECIMAL(38, 0)) AS "SEQ", CAST(F.I AS DECIMAL(38, 0)) AS "INDEX", F.T AS "VALUE"
        FROM (SELECT unnest(list_transform(_cxm_tokens(S, D), lambda T, I: {'I': I, 'T': T})) AS F)"""),
)  # fmt: skip


def creation_sql(catalog: str) -> str:
    """Return the statements that create the macros in a DuckDB catalog."""
    each = [_each(catalog, name, parameters) for name, parameters, _ in _MACROS if "V" in parameters.split(", ")]
    tables = [f"CREATE OR REPLACE MACRO {quote_name(catalog)}.{name}({p}) AS TABLE {body}" for name, p, body in _TABLES]
    return ";\n".join([*(_macro(catalog, *macro) for macro in _MACROS), *each, *tables]) + ";"


def _each(catalog: str, name: str, parameters: str) -> str:
    """Return a macro's variant for the value of an aggregate or a window function, which binds it first: otherwise DuckDB does
    not know its type in time to choose a body."""
    arguments = ", ".join("X" if p == "V" else p for p in parameters.split(", "))
    return (
        f"CREATE OR REPLACE MACRO {quote_name(catalog)}.{name.replace('_cxm_', '_cxm_each_')}({parameters}) AS "
        f"(list_transform(list_value(V), lambda X: {name}({arguments}))[1])"
    )


def _macro(catalog: str, name: str, parameters: str, bodies: tuple[tuple[str, str], ...]) -> str:
    overloads = []
    others = [body for kind, body in bodies if not kind]
    if len(bodies) > 1 and others:  # a NULL without a type is an INTEGER to DuckDB
        bodies = (*bodies, ("INTEGER", others[0]))
    for kind, body in bodies:
        typed = ", ".join(f"{p} {kind}".strip() if p == "V" else p for p in parameters.split(", "))
        overloads.append(f"({typed}) AS ({body.strip()})")
    return f"CREATE OR REPLACE MACRO {quote_name(catalog)}.{name}" + ", ".join(overloads)
