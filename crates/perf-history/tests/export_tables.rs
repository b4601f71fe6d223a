//! Tables hold every field of every observation, as their own readers find it.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use perf_history::export::{ExportError, export_csv, export_json_lines, export_parquet};
use perf_history::store::SqliteStore;
use perf_history::{Arm, HistoryStore as _, ModelId, Observation, Query, ShapeBucket, Stored};
use support::{MIDNIGHT, mixed, run};
use vocab::DeviceKind;

/// Texts that a reader of tables may stumble over.
const AWKWARD: &[&str] = &[
    "plain",
    "a,b;c\t",
    "\"quoted\" and 'single'",
    "two\nlines\r\nand \r more",
    " spaces ",
    "模型 ß 🦊 \u{202e}rtl",
    "=HYPERLINK(\"http://example.com\")",
    "+1",
    "-1",
    "@SUM(A1)",
    "'apostrophe",
    "''=",
    "\tTab",
    "\\N",
    "NULL",
    "#",
    "",
];

/// Every awkward text in every field that takes one, with every optional field there or not, and mixed ones.
fn awkward() -> Vec<Observation> {
    let of = |(at, text): (usize, &&str)| {
        let measured = at.is_multiple_of(2);
        let base = run(MIDNIGHT - 1 + at as i64, 0.1 + at as f64);
        Observation {
            model: Arc::new(ModelId {
                name: (*text).into(),
                version: (*text).into(),
                precision: (*text).into(),
                ..(*base.model).clone()
            }),
            shape: ShapeBucket::from(*text),
            arm: Arc::new(Arm {
                browser_version: (*text).into(),
                device_requested: measured.then(|| DeviceKind::from(*text)),
                device_effective: DeviceKind::from(*text),
                adapter: Some((*text).into()),
                ..(*base.arm).clone()
            }),
            load_ms: measured.then_some(1e-300),
            in_page_ms: measured.then_some(f64::MAX),
            total_ms: measured.then_some(0.1 + 0.2),
            queue_ms: (!measured).then_some(0.0),
            bytes_in: measured.then_some(i64::MAX.unsigned_abs()),
            bytes_out: (!measured).then_some(0),
            memory_bytes: measured.then_some(1 << 53),
            ..base
        }
    };
    AWKWARD.iter().enumerate().map(of).chain(mixed(70_000, MIDNIGHT)).collect()
}

/// A store with these, and what it gives back.
fn filled(observations: &[Observation]) -> (tempfile::TempDir, SqliteStore, Vec<Stored>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = SqliteStore::open(&folder.path().join("history.db")).expect("it opens");
    observations.chunks(10_000).for_each(|batch| store.append(batch).expect("they are added"));
    let all = store.observations(&Query::After { id: 0, limit: u32::MAX }).expect("it reads");
    assert_eq!(all.len(), observations.len());
    (folder, store, all)
}

/// What a reader must find: each column by its name, as a text, or nothing.
fn expected(stored: &Stored) -> BTreeMap<&'static str, Option<String>> {
    let Stored { id, observation: seen } = stored;
    let (model, arm) = (&seen.model, &seen.arm);
    let number = |number: Option<f64>| number.map(|number| format!("{number:?}"));
    let size = |size: Option<u64>| size.map(|size| size.to_string());
    BTreeMap::from([
        ("id", Some(id.to_string())),
        ("at_unix_ms", Some(seen.at.0.to_string())),
        ("model_hash", Some(model.hash.to_string())),
        ("model_name", Some(model.name.to_string())),
        ("model_version", Some(model.version.to_string())),
        ("model_type", model.model_type.map(|kind| kind.to_string())),
        ("model_precision", Some(model.precision.to_string())),
        ("shape", Some(seen.shape.as_str().to_owned())),
        ("browser", Some(arm.browser.to_string())),
        ("browser_version", Some(arm.browser_version.to_string())),
        ("backend", Some(arm.backend.to_string())),
        ("device_requested", arm.device_requested.as_ref().map(ToString::to_string)),
        ("device_effective", Some(arm.device_effective.to_string())),
        ("adapter", arm.adapter.as_deref().map(str::to_owned)),
        ("threads", Some(arm.threads.to_string())),
        ("worker", Some(seen.worker.0.to_string())),
        ("operation", Some(seen.operation.as_str().to_owned())),
        ("outcome", Some(seen.outcome.to_string())),
        ("warm", Some(seen.warm.to_string())),
        ("load_ms", number(seen.load_ms)),
        ("queue_ms", number(seen.queue_ms)),
        ("in_page_ms", number(seen.in_page_ms)),
        ("service_ms", number(seen.service_ms)),
        ("total_ms", number(seen.total_ms)),
        ("bytes_in", size(seen.bytes_in)),
        ("bytes_out", size(seen.bytes_out)),
        ("memory_bytes", size(seen.memory_bytes)),
    ])
}

#[test]
fn text_is_read_back() {
    let (_folder, mut store, all) = filled(&awkward());
    let mut bytes = Vec::new();
    assert_eq!(export_csv(&mut store, &mut bytes).expect("it is written"), all.len() as u64);
    let mut table = csv::Reader::from_reader(&bytes[..]);
    let names = table.headers().expect("a first line").clone();
    let rows: Vec<csv::StringRecord> = table.records().collect::<Result<_, _>>().expect("they are read");
    assert_eq!(rows.len(), all.len());
    for (row, stored) in rows.iter().zip(&all) {
        let found: BTreeMap<&str, &str> = names.iter().zip(row).collect();
        let expected = expected(stored);
        assert!(found.keys().eq(expected.keys()), "{names:?}");
        for (name, value) in expected {
            assert!(
                !found[name].starts_with(['=', '+', '-', '@', '\t', '\r']),
                "no formula: {}",
                found[name]
            );
            let found = found[name];
            assert_eq!(found.strip_prefix('\'').unwrap_or(found), value.unwrap_or_default(), "{name}");
        }
    }
}

#[test]
fn columns_are_read_back_with_their_types_and_nulls() {
    let (_folder, mut store, all) = filled(&awkward());
    let mut bytes = Vec::new();
    assert_eq!(export_parquet(&mut store, &mut bytes).expect("it is written"), all.len() as u64);
    let file = SerializedFileReader::new(Bytes::from(bytes)).expect("it is whole");
    assert_eq!(file.num_row_groups(), 2, "memory is bounded");
    let rows = file.get_row_iter(None).expect("it has rows");
    let mut count = 0;
    for (row, stored) in rows.zip(&all) {
        let row = row.expect("it is read");
        let text = |field: &Field| match field {
            Field::Null => None,
            Field::Str(text) => Some(text.clone()),
            Field::Long(number) | Field::TimestampMillis(number) => Some(number.to_string()),
            Field::ULong(number) => Some(number.to_string()),
            Field::Double(number) => Some(format!("{number:?}")),
            Field::Bool(truth) => Some(truth.to_string()),
            other => panic!("{other:?} is of no type that a column has"),
        };
        let found: BTreeMap<&str, Option<String>> =
            row.get_column_iter().map(|(name, field)| (name.as_str(), text(field))).collect();
        assert_eq!(found, expected(stored));
        count += 1;
    }
    assert_eq!(count, all.len());
}

#[test]
fn lines_of_json_are_read_back_as_observations() {
    let (_folder, mut store, all) = filled(&awkward());
    let mut lines = Vec::new();
    assert_eq!(export_json_lines(&mut store, &mut lines).expect("it is written"), all.len() as u64);
    let lines = std::str::from_utf8(&lines).expect("UTF-8");
    let mut count = 0;
    for (line, stored) in lines.lines().zip(&all) {
        let read: Observation = serde_json::from_str(line).expect("an observation");
        assert!(read == stored.observation, "{line}");
        count += 1;
    }
    assert_eq!((count, lines.lines().count()), (all.len(), all.len()));
}

#[test]
fn an_empty_store_gives_a_table_without_rows() {
    let (_folder, mut store, _) = filled(&[]);
    let mut text = Vec::new();
    assert_eq!(export_csv(&mut store, &mut text).expect("it is written"), 0);
    assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 1);
    let mut columns = Vec::new();
    assert_eq!(export_parquet(&mut store, &mut columns).expect("it is written"), 0);
    let file = SerializedFileReader::new(Bytes::from(columns)).expect("it is whole");
    assert_eq!(file.metadata().file_metadata().num_rows(), 0);
    assert_eq!(file.metadata().file_metadata().schema_descr().num_columns(), 27);
}

/// Takes so many bytes and no more.
struct Short(usize);

impl std::io::Write for Short {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.0.min(bytes.len());
        self.0 -= room;
        if room == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(room) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_wherever_it_strikes() {
    let (_folder, mut store, _) = filled(&mixed(100, MIDNIGHT));
    for room in [0, 3, 500, 4_000] {
        let error = export_csv(&mut store, Short(room)).expect_err("there is no room");
        assert!(matches!(error, ExportError::Write(_)), "{error:?}");
        let error = export_parquet(&mut store, Short(room)).expect_err("there is no room");
        assert!(matches!(error, ExportError::Write(_)), "{error:?}");
    }
}
