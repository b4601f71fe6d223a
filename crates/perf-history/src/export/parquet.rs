//! A table as columns, in Parquet.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::table::{COLUMNS, Cell, Column, Kind, cells};
use super::{ExportError, portions};
use crate::{HistoryStore, Stored};

/// Writes every observation as a row of a Parquet file, compressed with Snappy, with one row group for each 65 536.
/// Returns how many there were.
///
/// Columns have types: texts are `STRING`, the time is a `TIMESTAMP` in UTC, sizes are unsigned; what was not measured
/// is null. Nothing is put before any text, since nothing that reads Parquet takes a text for a formula.
///
/// # Errors
/// [`ExportError`].
pub fn export_parquet(store: &mut dyn HistoryStore, writer: impl Write + Send) -> Result<u64, ExportError> {
    let cannot = |error: ParquetError| ExportError::Write(Box::new(error));
    let schema = Arc::new(parse_message_type(&schema()).map_err(cannot)?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut file = SerializedFileWriter::new(writer, schema, properties).map_err(cannot)?;
    let count = portions::each(store, |portion| row_group(&mut file, portion).map_err(cannot))?;
    file.finish().and_then(|_| Ok(file.inner_mut().flush()?)).map_err(cannot)?;
    Ok(count)
}

/// The columns in Parquet's own words.
fn schema() -> String {
    let mut text = "message observations {".to_owned();
    for Column { name, kind, optional } in COLUMNS {
        let repetition = if optional { "optional" } else { "required" };
        let (physical, logical) = match kind {
            Kind::Text => ("binary", " (STRING)"),
            Kind::Integer => ("int64", ""),
            Kind::Unsigned => ("int64", " (INTEGER(64,false))"),
            Kind::Time => ("int64", " (TIMESTAMP(MILLIS,true))"),
            Kind::Number => ("double", ""),
            Kind::Truth => ("boolean", ""),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, " {repetition} {physical} {name}{logical};");
    }
    text + " }"
}

fn row_group<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    portion: &[Stored],
) -> Result<(), ParquetError> {
    let mut columns: Vec<Vec<Cell<'_>>> = COLUMNS.iter().map(|_| Vec::with_capacity(portion.len())).collect();
    for stored in portion {
        for (column, cell) in columns.iter_mut().zip(cells(stored)) {
            column.push(cell);
        }
    }
    let mut group = file.next_row_group()?;
    for (Column { name: _, kind, optional }, cells) in COLUMNS.into_iter().zip(columns) {
        let Some(writer) = group.next_column()? else {
            return Err(ParquetError::General("the schema has fewer columns than the table".to_owned()));
        };
        match kind {
            Kind::Text => write::<ByteArrayType>(writer, optional, cells, |cell| match cell {
                Cell::Text(text) => Some(ByteArray::from(text.into_owned().into_bytes())),
                _ => None,
            }),
            Kind::Integer | Kind::Unsigned | Kind::Time => {
                write::<Int64Type>(writer, optional, cells, |cell| match cell {
                    Cell::Integer(number) => Some(number),
                    // The column says that it is unsigned; the bits are the same.
                    Cell::Unsigned(number) => Some(number.cast_signed()),
                    _ => None,
                })
            }
            Kind::Number => write::<DoubleType>(writer, optional, cells, |cell| match cell {
                Cell::Number(number) => Some(number),
                _ => None,
            }),
            Kind::Truth => write::<BoolType>(writer, optional, cells, |cell| match cell {
                Cell::Truth(truth) => Some(truth),
                _ => None,
            }),
        }?;
    }
    group.close().map(drop)
}

/// Writes a column: the values that there are, and for an optional one where they are.
fn write<T: DataType>(
    mut writer: SerializedColumnWriter<'_>,
    optional: bool,
    cells: Vec<Cell<'_>>,
    value: fn(Cell<'_>) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let mut values = Vec::with_capacity(cells.len());
    let mut levels: Vec<i16> = Vec::with_capacity(cells.len());
    for value in cells.into_iter().map(value) {
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    writer.typed::<T>().write_batch(&values, optional.then_some(&levels[..]), None)?;
    writer.close()
}
