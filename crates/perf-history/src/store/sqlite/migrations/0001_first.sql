-- Names are rows of their own, so that an observation is a few dozen bytes. Rows of models, arms and series never
-- change; they go when nothing needs them any more, and then state.generation grows.

CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    last_id INTEGER NOT NULL,       -- of the observation that was added last; ids have no gaps and are never reused
    arranged INTEGER NOT NULL,      -- observations up to this id are in by_series
    observations INTEGER NOT NULL,  -- how many there are
    generation INTEGER NOT NULL     -- grows when models, arms or series are dropped
) STRICT;

INSERT INTO state VALUES (1, 0, 0, 0, 0);

CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    model_type TEXT,
    precision TEXT NOT NULL
) STRICT;

-- An index takes two NULLs for different values; a blob is equal to itself, and to no text.
CREATE UNIQUE INDEX models_by_value ON models (hash, name, version, ifnull(model_type, x''), precision);

CREATE TABLE arms (
    id INTEGER PRIMARY KEY,
    browser TEXT NOT NULL,
    browser_version TEXT NOT NULL,
    backend TEXT NOT NULL,
    device_requested TEXT,
    device_effective TEXT NOT NULL,
    adapter TEXT,
    threads INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX arms_by_value ON arms (
    browser, browser_version, backend, ifnull(device_requested, x''), device_effective, ifnull(adapter, x''), threads
);

CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    model INTEGER NOT NULL REFERENCES models (id),
    shape TEXT NOT NULL,
    arm INTEGER NOT NULL REFERENCES arms (id)
) STRICT;

CREATE UNIQUE INDEX series_by_value ON series (model, shape, arm);
CREATE INDEX series_by_arm ON series (arm);

CREATE TABLE observations (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,            -- milliseconds since 1970-01-01 UTC, as everywhere here
    series INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    warm INTEGER NOT NULL,
    load_ms REAL,
    queue_ms REAL,
    in_page_ms REAL,
    service_ms REAL,
    total_ms REAL,
    bytes_in INTEGER,
    bytes_out INTEGER,
    memory_bytes INTEGER
) STRICT;

CREATE INDEX observations_by_time ON observations (at);

-- An index of observations, but one that is brought up to date only now and then: a batch has observations of
-- hundreds of series, and each of them would change another page of this.
CREATE TABLE by_series (
    series INTEGER NOT NULL,
    at INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (series, at, id)
) STRICT, WITHOUT ROWID;

-- The time comes first in both keys, so that what is being added to lies together.

CREATE TABLE hours (
    start INTEGER NOT NULL,
    series INTEGER NOT NULL,
    ok INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    wrong INTEGER NOT NULL,
    vanished INTEGER NOT NULL,
    timed_out INTEGER NOT NULL,
    out_of_memory INTEGER NOT NULL,
    neutral INTEGER NOT NULL,
    loads_ok INTEGER NOT NULL,
    loads_failed INTEGER NOT NULL,
    recoveries_ok INTEGER NOT NULL,
    recoveries_failed INTEGER NOT NULL,
    latencies INTEGER NOT NULL,
    load_ms REAL NOT NULL,
    ln_sum REAL NOT NULL,
    ln_square_sum REAL NOT NULL,
    sketch BLOB NOT NULL,
    PRIMARY KEY (start, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE days (
    start INTEGER NOT NULL,
    series INTEGER NOT NULL,
    ok INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    wrong INTEGER NOT NULL,
    vanished INTEGER NOT NULL,
    timed_out INTEGER NOT NULL,
    out_of_memory INTEGER NOT NULL,
    neutral INTEGER NOT NULL,
    loads_ok INTEGER NOT NULL,
    loads_failed INTEGER NOT NULL,
    recoveries_ok INTEGER NOT NULL,
    recoveries_failed INTEGER NOT NULL,
    latencies INTEGER NOT NULL,
    load_ms REAL NOT NULL,
    ln_sum REAL NOT NULL,
    ln_square_sum REAL NOT NULL,
    sketch BLOB NOT NULL,
    PRIMARY KEY (start, series)
) STRICT, WITHOUT ROWID;
