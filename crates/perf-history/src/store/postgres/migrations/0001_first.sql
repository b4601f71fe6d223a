-- Names are rows of their own, so that an observation is a few dozen bytes. Rows of models, arms and series never
-- change; they go when nothing needs them any more, and then state.generation grows.
--
-- In texts, U+001A followed by 0 stands for U+0000, which PostgreSQL cannot keep, and U+001A followed by 1 for itself.

-- The one table that every version reads before anything else, so it stays as it is.
CREATE TABLE perf_history.about (
    sole boolean PRIMARY KEY DEFAULT true CHECK (sole),
    application text NOT NULL,
    version bigint NOT NULL
);

INSERT INTO perf_history.about (application, version) VALUES ('wnph', 0);

-- Whoever writes locks this row first, so that one writes at a time and ids become visible in their order.
CREATE TABLE perf_history.state (
    sole boolean PRIMARY KEY DEFAULT true CHECK (sole),
    last_id bigint NOT NULL,       -- of the observation that was added last; ids have no gaps and are never reused
    observations bigint NOT NULL,  -- how many there are
    generation bigint NOT NULL,    -- grows when models, arms or series are dropped
    contents bigint NOT NULL       -- grows with everything that is written
) WITH (fillfactor = 10);

INSERT INTO perf_history.state (last_id, observations, generation, contents) VALUES (0, 0, 0, 0);

-- What each writer has added last, so that it can find out about a commit whose answer was lost.
CREATE TABLE perf_history.writers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch bigint NOT NULL,
    seen timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Keys are SHA-256 of the values: an index takes no values of more than 2.7 kB.

CREATE TABLE perf_history.models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bytea NOT NULL UNIQUE,
    hash bytea NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    model_type text,
    precision text NOT NULL
);

CREATE TABLE perf_history.arms (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bytea NOT NULL UNIQUE,
    browser text NOT NULL,
    browser_version text NOT NULL,
    backend text NOT NULL,
    device_requested text,
    device_effective text NOT NULL,
    adapter text,
    threads bigint NOT NULL
);

CREATE TABLE perf_history.series (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bytea NOT NULL UNIQUE,
    model bigint NOT NULL REFERENCES perf_history.models,
    shape text NOT NULL,
    arm bigint NOT NULL REFERENCES perf_history.arms
);

CREATE INDEX series_by_model ON perf_history.series (model);
CREATE INDEX series_by_arm ON perf_history.series (arm);

CREATE TABLE perf_history.observations (
    id bigint PRIMARY KEY,
    at bigint NOT NULL,            -- milliseconds since 1970-01-01 UTC, as everywhere here
    series bigint NOT NULL,
    worker bigint NOT NULL,
    operation text NOT NULL,
    outcome text NOT NULL,
    warm boolean NOT NULL,
    load_ms double precision,
    queue_ms double precision,
    in_page_ms double precision,
    service_ms double precision,
    total_ms double precision,
    bytes_in bigint,
    bytes_out bigint,
    memory_bytes bigint
);

CREATE INDEX observations_by_time ON perf_history.observations (at, id);
CREATE INDEX observations_by_series ON perf_history.observations (series, at, id);

-- The time comes first in both keys, so that what is being added to lies together. Every batch changes rows of the
-- present hour, and room beside them keeps that from touching the index.

CREATE TABLE perf_history.hours (
    start bigint NOT NULL,
    series bigint NOT NULL,
    ok bigint NOT NULL,
    failed bigint NOT NULL,
    wrong bigint NOT NULL,
    vanished bigint NOT NULL,
    timed_out bigint NOT NULL,
    out_of_memory bigint NOT NULL,
    neutral bigint NOT NULL,
    loads_ok bigint NOT NULL,
    loads_failed bigint NOT NULL,
    recoveries_ok bigint NOT NULL,
    recoveries_failed bigint NOT NULL,
    latencies bigint NOT NULL,
    load_ms double precision NOT NULL,
    ln_sum double precision NOT NULL,
    ln_square_sum double precision NOT NULL,
    sketch bytea NOT NULL,
    PRIMARY KEY (start, series)
) WITH (fillfactor = 70);

CREATE TABLE perf_history.days (
    LIKE perf_history.hours INCLUDING ALL
);
