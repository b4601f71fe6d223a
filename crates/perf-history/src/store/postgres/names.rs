//! Models, arms and series: rows that name what observations are about, found or added.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postgres::Row;
use sha2::{Digest as _, Sha256};

use super::error::Fault;
use super::server::Tx;
use super::text::{given, kept};
use crate::store::columns::{ArmRow, BadRow, ModelRow};
use crate::store::subject::{Known, Names, Subject};
use crate::{Arm, ModelId, Observation, ShapeBucket};

/// The SHA-256 of a row's values.
type Key = Vec<u8>;

/// Rows to find or to add, by key.
type Wanted<T> = BTreeMap<Key, Arc<T>>;

/// The series of each of these observations; their rows are added where they are missing. Only while nobody else can
/// write.
pub(super) fn series(tx: &mut Tx<'_>, known: &mut Known, batch: &[Observation]) -> Result<Vec<i64>, Fault> {
    let subjects: Vec<Subject> = batch.iter().map(Subject::of).collect();
    let new: BTreeSet<&Subject> =
        subjects.iter().filter(|subject| known.series.id(subject).is_none()).collect();
    if !new.is_empty() {
        add(tx, known, &new)?;
    }
    let id = |subject| known.series.id(subject).ok_or(BadRow::Missing { table: "series", id: 0 });
    Ok(subjects.iter().map(id).collect::<Result<_, _>>()?)
}

fn add(tx: &mut Tx<'_>, known: &mut Known, new: &BTreeSet<&Subject>) -> Result<(), Fault> {
    let models = new.iter().map(|subject| &subject.model);
    let models: Wanted<ModelId> = models
        .filter(|model| known.models.id(model).is_none())
        .map(|model| (model_key(model), model.clone()))
        .collect();
    find_or_add(tx, "models", &models, &mut known.models, |tx, keys, models| {
        let hashes: Vec<&[u8]> = models.iter().map(|model| model.hash.0.as_slice()).collect();
        let names: Vec<_> = models.iter().map(|model| kept(&model.name)).collect();
        let versions: Vec<_> = models.iter().map(|model| kept(&model.version)).collect();
        let types: Vec<_> =
            models.iter().map(|model| model.model_type.map(vocab::ModelType::as_str)).collect();
        let precisions: Vec<_> = models.iter().map(|model| kept(&model.precision)).collect();
        tx.query(
            "INSERT INTO perf_history.models (key, hash, name, version, model_type, precision) SELECT * FROM \
             unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[]) RETURNING id, key",
            &[&keys, &hashes, &names, &versions, &types, &precisions],
        )
    })?;

    let arms = new.iter().map(|subject| &subject.arm);
    let arms: Wanted<Arm> =
        arms.filter(|arm| known.arms.id(arm).is_none()).map(|arm| (arm_key(arm), arm.clone())).collect();
    find_or_add(tx, "arms", &arms, &mut known.arms, |tx, keys, arms| {
        let browsers: Vec<_> = arms.iter().map(|arm| arm.browser.as_str()).collect();
        let versions: Vec<_> = arms.iter().map(|arm| kept(&arm.browser_version)).collect();
        let backends: Vec<_> = arms.iter().map(|arm| arm.backend.as_str()).collect();
        let requested: Vec<_> = arms
            .iter()
            .map(|arm| arm.device_requested.as_ref().map(|device| kept(device.as_str())))
            .collect();
        let effective: Vec<_> = arms.iter().map(|arm| kept(arm.device_effective.as_str())).collect();
        let adapters: Vec<_> = arms.iter().map(|arm| arm.adapter.as_deref().map(kept)).collect();
        let threads: Vec<_> = arms.iter().map(|arm| i64::from(arm.threads)).collect();
        tx.query(
            "INSERT INTO perf_history.arms \
             (key, browser, browser_version, backend, device_requested, device_effective, adapter, threads) \
             SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
             $7::text[], $8::bigint[]) RETURNING id, key",
            &[&keys, &browsers, &versions, &backends, &requested, &effective, &adapters, &threads],
        )
    })?;

    let mut series: Wanted<Subject> = BTreeMap::new();
    let mut references: BTreeMap<Key, (i64, i64)> = BTreeMap::new();
    for &subject in new {
        let missing = |table| BadRow::Missing { table, id: 0 };
        let model = known.models.id(&subject.model).ok_or_else(|| missing("models"))?;
        let arm = known.arms.id(&subject.arm).ok_or_else(|| missing("arms"))?;
        let key = key(&[
            Some(&model.to_be_bytes()),
            Some(subject.shape.as_str().as_bytes()),
            Some(&arm.to_be_bytes()),
        ]);
        references.insert(key.clone(), (model, arm));
        series.insert(key, Arc::new(subject.clone()));
    }
    find_or_add(tx, "series", &series, &mut known.series, |tx, keys, series| {
        let (models, arms): (Vec<i64>, Vec<i64>) =
            keys.iter().filter_map(|key| references.get(*key)).copied().unzip();
        let shapes: Vec<_> = series.iter().map(|subject| kept(subject.shape.as_str())).collect();
        tx.query(
            "INSERT INTO perf_history.series (key, model, shape, arm) \
             SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[]) RETURNING id, key",
            &[&keys, &models, &shapes, &arms],
        )
    })
}

/// Learns the ids of these rows, and has those added that are missing.
fn find_or_add<T: std::hash::Hash + Eq>(
    tx: &mut Tx<'_>,
    table: &'static str,
    wanted: &Wanted<T>,
    names: &mut Names<T>,
    add: impl FnOnce(&mut Tx<'_>, &[&Key], &[&T]) -> Result<Vec<Row>, Fault>,
) -> Result<(), Fault> {
    if wanted.is_empty() {
        return Ok(());
    }
    let keys: Vec<&Key> = wanted.keys().collect();
    let sql = format!("SELECT id, key FROM perf_history.{table} WHERE key = ANY($1)");
    let mut rows = tx.query(&sql, &[&keys])?;
    let found = rows.iter().map(|row| row.try_get(1)).collect::<Result<BTreeSet<&[u8]>, _>>()?;
    let (keys, values): (Vec<&Key>, Vec<&T>) = wanted
        .iter()
        .filter(|(key, _)| !found.contains(key.as_slice()))
        .map(|(key, value)| (key, &**value))
        .unzip();
    if !keys.is_empty() {
        rows.extend(add(tx, &keys, &values)?);
    }
    for row in rows {
        let key: &[u8] = row.try_get(1)?;
        if let Some(value) = wanted.get(key) {
            names.insert(row.try_get(0)?, value.clone());
        }
    }
    Ok(())
}

fn model_key(model: &ModelId) -> Key {
    let ModelId { hash, name, version, model_type, precision } = model;
    key(&[
        Some(&hash.0),
        Some(name.as_bytes()),
        Some(version.as_bytes()),
        model_type.map(|name| name.as_str().as_bytes()),
        Some(precision.as_bytes()),
    ])
}

fn arm_key(arm: &Arm) -> Key {
    let Arm { browser, browser_version, backend, device_requested, device_effective, adapter, threads } = arm;
    key(&[
        Some(browser.as_str().as_bytes()),
        Some(browser_version.as_bytes()),
        Some(backend.as_str().as_bytes()),
        device_requested.as_ref().map(|device| device.as_str().as_bytes()),
        Some(device_effective.as_str().as_bytes()),
        adapter.as_deref().map(str::as_bytes),
        Some(&threads.to_be_bytes()),
    ])
}

/// The hash of values, each with its length, so that none can run into the next one.
fn key(values: &[Option<&[u8]>]) -> Key {
    let mut hash = Sha256::new();
    for value in values {
        let length = value.map_or(u64::MAX, |value| value.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(value.unwrap_or_default());
    }
    hash.finalize().to_vec()
}

/// Learns every row that is not known yet. Only within a transaction, in which the generation was read.
pub(super) fn load(tx: &mut Tx<'_>, known: &mut Known) -> Result<(), Fault> {
    let sql = "SELECT id, hash, name, version, model_type, precision FROM perf_history.models \
               WHERE id > $1 ORDER BY id";
    for row in tx.query(sql, &[&known.models.whole()])? {
        let model: ModelId = model_row(&row)?.try_into()?;
        known.models.insert_next(row.try_get(0)?, Arc::new(model));
    }
    let sql = "SELECT id, browser, browser_version, backend, device_requested, device_effective, adapter, \
               threads FROM perf_history.arms WHERE id > $1 ORDER BY id";
    for row in tx.query(sql, &[&known.arms.whole()])? {
        let arm: Arm = arm_row(&row)?.try_into()?;
        known.arms.insert_next(row.try_get(0)?, Arc::new(arm));
    }
    let sql = "SELECT id, model, shape, arm FROM perf_history.series WHERE id > $1 ORDER BY id";
    for row in tx.query(sql, &[&known.series.whole()])? {
        let (model, arm): (i64, i64) = (row.try_get(1)?, row.try_get(3)?);
        let subject = Subject {
            model: known.models.value(model).ok_or(BadRow::Missing { table: "models", id: model })?.clone(),
            shape: ShapeBucket(text(&row, 2)?.into()),
            arm: known.arms.value(arm).ok_or(BadRow::Missing { table: "arms", id: arm })?.clone(),
        };
        known.series.insert_next(row.try_get(0)?, Arc::new(subject));
    }
    Ok(())
}

fn model_row(row: &Row) -> Result<ModelRow, Fault> {
    Ok(ModelRow {
        hash: row.try_get(1)?,
        name: text(row, 2)?,
        version: text(row, 3)?,
        model_type: row.try_get(4)?,
        precision: text(row, 5)?,
    })
}

fn arm_row(row: &Row) -> Result<ArmRow, Fault> {
    Ok(ArmRow {
        browser: row.try_get(1)?,
        browser_version: text(row, 2)?,
        backend: row.try_get(3)?,
        device_requested: optional_text(row, 4)?,
        device_effective: text(row, 5)?,
        adapter: optional_text(row, 6)?,
        threads: row.try_get(7)?,
    })
}

fn text(row: &Row, at: usize) -> Result<String, Fault> {
    Ok(given(row.try_get(at)?).into_owned())
}

fn optional_text(row: &Row, at: usize) -> Result<Option<String>, Fault> {
    Ok(row.try_get::<_, Option<&str>>(at)?.map(|text| given(text).into_owned()))
}
