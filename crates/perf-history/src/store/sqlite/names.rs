//! Models, arms and series: rows that name what observations are about, found or added.

use std::sync::Arc;

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::columns::{ArmRow, BadRow, ModelRow};
use super::super::subject::{Known, Subject};
use super::error::Fault;
use crate::{Arm, ModelId, ShapeBucket};

/// The id of this subject; its rows are added where they are missing. Only within a transaction that writes.
pub(super) fn series(conn: &Connection, known: &mut Known, subject: &Subject) -> Result<i64, Fault> {
    if let Some(id) = known.series.id(subject) {
        return Ok(id);
    }
    let model = model(conn, known, &subject.model)?;
    let arm = arm(conn, known, &subject.arm)?;
    let id = find_or_add(
        conn,
        "SELECT id FROM series WHERE model = ?1 AND shape = ?2 AND arm = ?3",
        "INSERT INTO series (model, shape, arm) VALUES (?1, ?2, ?3)",
        &[&model, &subject.shape.as_str(), &arm],
    )?;
    known.series.insert(id, Arc::new(subject.clone()));
    Ok(id)
}

fn model(conn: &Connection, known: &mut Known, model: &Arc<ModelId>) -> Result<i64, Fault> {
    if let Some(id) = known.models.id(model) {
        return Ok(id);
    }
    let ModelId { hash, name, version, model_type, precision } = &**model;
    let id = find_or_add(
        conn,
        "SELECT id FROM models WHERE hash = ?1 AND name = ?2 AND version = ?3 \
         AND ifnull(model_type, x'') = ifnull(?4, x'') AND precision = ?5",
        "INSERT INTO models (hash, name, version, model_type, precision) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[&hash.0, name, version, &model_type.map(vocab::ModelType::as_str), precision],
    )?;
    known.models.insert(id, model.clone());
    Ok(id)
}

fn arm(conn: &Connection, known: &mut Known, arm: &Arc<Arm>) -> Result<i64, Fault> {
    if let Some(id) = known.arms.id(arm) {
        return Ok(id);
    }
    let Arm { browser, browser_version, backend, device_requested, device_effective, adapter, threads } =
        &**arm;
    let id = find_or_add(
        conn,
        "SELECT id FROM arms WHERE browser = ?1 AND browser_version = ?2 AND backend = ?3 \
         AND ifnull(device_requested, x'') = ifnull(?4, x'') AND device_effective = ?5 \
         AND ifnull(adapter, x'') = ifnull(?6, x'') AND threads = ?7",
        "INSERT INTO arms \
         (browser, browser_version, backend, device_requested, device_effective, adapter, threads) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &[
            &browser.as_str(),
            browser_version,
            &backend.as_str(),
            &device_requested.as_ref().map(vocab::DeviceKind::as_str),
            &device_effective.as_str(),
            adapter,
            threads,
        ],
    )?;
    known.arms.insert(id, arm.clone());
    Ok(id)
}

fn find_or_add(conn: &Connection, find: &str, add: &str, values: &[&dyn ToSql]) -> Result<i64, Fault> {
    let found = conn.prepare_cached(find)?.query_row(values, |row| row.get(0)).optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    Ok(conn.prepare_cached(add)?.insert(values)?)
}

/// Learns every row that is not known yet. Only within a transaction, in which the generation was read.
pub(super) fn load(conn: &Connection, known: &mut Known) -> Result<(), Fault> {
    let mut models = conn.prepare_cached(
        "SELECT id, hash, name, version, model_type, precision FROM models WHERE id > ?1 ORDER BY id",
    )?;
    let mut rows = models.query([known.models.whole()])?;
    while let Some(row) = rows.next()? {
        let model: ModelId = model_row(row)?.try_into()?;
        known.models.insert_next(row.get(0)?, Arc::new(model));
    }
    let mut arms = conn.prepare_cached(
        "SELECT id, browser, browser_version, backend, device_requested, device_effective, adapter, threads \
         FROM arms WHERE id > ?1 ORDER BY id",
    )?;
    let mut rows = arms.query([known.arms.whole()])?;
    while let Some(row) = rows.next()? {
        let arm: Arm = arm_row(row)?.try_into()?;
        known.arms.insert_next(row.get(0)?, Arc::new(arm));
    }
    let mut series =
        conn.prepare_cached("SELECT id, model, shape, arm FROM series WHERE id > ?1 ORDER BY id")?;
    let mut rows = series.query([known.series.whole()])?;
    while let Some(row) = rows.next()? {
        let (model, arm): (i64, i64) = (row.get(1)?, row.get(3)?);
        let shape: String = row.get(2)?;
        let subject = Subject {
            model: known.models.value(model).ok_or(BadRow::Missing { table: "models", id: model })?.clone(),
            shape: ShapeBucket(shape.into()),
            arm: known.arms.value(arm).ok_or(BadRow::Missing { table: "arms", id: arm })?.clone(),
        };
        known.series.insert_next(row.get(0)?, Arc::new(subject));
    }
    Ok(())
}

fn model_row(row: &Row<'_>) -> rusqlite::Result<ModelRow> {
    Ok(ModelRow {
        hash: row.get(1)?,
        name: row.get(2)?,
        version: row.get(3)?,
        model_type: row.get(4)?,
        precision: row.get(5)?,
    })
}

fn arm_row(row: &Row<'_>) -> rusqlite::Result<ArmRow> {
    Ok(ArmRow {
        browser: row.get(1)?,
        browser_version: row.get(2)?,
        backend: row.get(3)?,
        device_requested: row.get(4)?,
        device_effective: row.get(5)?,
        adapter: row.get(6)?,
        threads: row.get(7)?,
    })
}
