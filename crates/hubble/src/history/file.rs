//! A segment as a file: Parquet, which any tool reads.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use parquet::basic::{Compression, ZstdLevel};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::TypePtr;
use thiserror::Error;

use super::Row;
use super::flat::{Flat, Flattener, Number, Raiser, Text};

/// What this release writes and reads; in the files' metadata. A file of another one is passed over.
const VERSION: &str = "1";
const VERSION_KEY: &str = "axoneme.records";
/// Rows that are written, and read, at once.
pub(super) const GROUP: usize = 8192;
/// End of the files' names.
pub(super) const SUFFIX: &str = "parquet";

/// A segment cannot be written or read.
#[derive(Debug, Error)]
#[error("records in {path}: {what}")]
pub struct FileError {
    path: PathBuf,
    #[source]
    what: What,
}

#[derive(Debug, Error)]
enum What {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error("version {0}, this program reads {VERSION}")]
    Version(String),
    #[error("its octets are not those that were written")]
    Changed,
    #[error("its columns are not those of version {VERSION}")]
    Columns,
}

fn schema() -> Result<TypePtr, ParquetError> {
    let numbers = Number::NAMES
        .iter()
        .map(|name| format!("required int64 {name};"));
    let texts = Text::NAMES.iter().map(|name| match *name {
        "message" => "required binary message;".to_owned(),
        name => format!("required binary {name} (UTF8);"),
    });
    let columns: Vec<String> = numbers.chain(texts).collect();
    parse_message_type(&format!("message record {{ {} }}", columns.join(" "))).map(Arc::new)
}

/// A segment as the octets of its file.
pub(super) fn encode(rows: &[Row]) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_created_by("axoneme".to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(
            VERSION_KEY.to_owned(),
            VERSION.to_owned(),
        )]))
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema()?, Arc::new(properties))?;
    let mut flattener = Flattener::default();
    for rows in rows.chunks(GROUP) {
        let flat: Vec<Flat> = rows.iter().map(|row| flattener.row(row)).collect();
        let mut group = writer.next_row_group()?;
        write_group(&mut group, &flat)?;
        group.close()?;
    }
    writer.into_inner()
}

/// Writes a segment beside its place, and puts it there when it is whole: in `directory`, under a name that begins with
/// `name` and says the check sum. Returns its path and its size in bytes.
pub(super) fn write(
    directory: &Path,
    name: &str,
    rows: &[Row],
) -> Result<(PathBuf, u64), FileError> {
    let part = directory.join(name).with_extension("part");
    let done = || -> Result<_, What> {
        let octets = encode(rows)?;
        let sum = crc32fast::hash(&octets);
        let path = directory.join(format!("{name}-{sum:08x}.{SUFFIX}"));
        let mut file = File::create(&part)?;
        file.write_all(&octets)?;
        file.sync_data()?;
        std::fs::rename(&part, &path)?;
        Ok((path, octets.len() as u64))
    };
    done().map_err(|what| {
        let _ = std::fs::remove_file(&part);
        failed(&part, what)
    })
}

/// The check sum that a file's name says.
fn sum(path: &Path) -> Option<u32> {
    let name = path.file_stem()?.to_str()?;
    u32::from_str_radix(name.rsplit_once('-')?.1, 16).ok()
}

fn write_group(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    rows: &[Flat],
) -> Result<(), ParquetError> {
    for column in 0..Number::NAMES.len() {
        let values: Vec<i64> = rows.iter().map(|row| row.numbers[column]).collect();
        if let Some(mut writer) = group.next_column()? {
            writer
                .typed::<Int64Type>()
                .write_batch(&values, None, None)?;
            writer.close()?;
        }
    }
    for column in 0..Text::NAMES.len() {
        let values: Vec<ByteArray> = rows.iter().map(|row| row.texts[column].clone()).collect();
        if let Some(mut writer) = group.next_column()? {
            writer
                .typed::<ByteArrayType>()
                .write_batch(&values, None, None)?;
            writer.close()?;
        }
    }
    Ok(())
}

/// A segment that is read group by group.
pub(super) struct Segment {
    path: PathBuf,
    reader: SerializedFileReader<Bytes>,
    raiser: Raiser,
}

impl Segment {
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let opened = || {
            let octets = std::fs::read(path)?;
            // Nothing of a file whose octets are not those that were written is looked at.
            if sum(path) != Some(crc32fast::hash(&octets)) {
                return Err(What::Changed);
            }
            let reader = SerializedFileReader::new(Bytes::from(octets))?;
            let metadata = reader.metadata().file_metadata();
            let mut pairs = metadata.key_value_metadata().into_iter().flatten();
            let version = pairs.find(|pair| pair.key == VERSION_KEY);
            let version = version
                .and_then(|pair| pair.value.clone())
                .unwrap_or_default();
            if version != VERSION {
                return Err(What::Version(version));
            }
            if *metadata.schema() != *schema()? {
                return Err(What::Columns);
            }
            Ok(reader)
        };
        Ok(Self {
            reader: opened().map_err(|what| failed(path, what))?,
            path: path.to_owned(),
            raiser: Raiser::default(),
        })
    }

    /// Number of groups.
    pub(super) fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// The rows of a group, those that this release can read.
    pub(super) fn read(&mut self, group: usize) -> Result<Vec<Row>, FileError> {
        let flat = self.reader.get_row_group(group);
        let flat = flat.and_then(|group| read_group(&*group));
        let flat = flat.map_err(|what| failed(&self.path, what))?;
        Ok(flat.iter().filter_map(|row| self.raiser.row(row)).collect())
    }
}

fn read_group(group: &dyn RowGroupReader) -> Result<Vec<Flat>, ParquetError> {
    let rows = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
    let mut flat = vec![Flat::default(); rows];
    for column in 0..Number::NAMES.len() {
        let mut values: Vec<i64> = Vec::with_capacity(rows);
        let mut reader = get_typed_column_reader::<Int64Type>(group.get_column_reader(column)?);
        reader.read_records(rows, None, None, &mut values)?;
        for (row, value) in flat.iter_mut().zip(values) {
            row.numbers[column] = value;
        }
    }
    for column in 0..Text::NAMES.len() {
        let mut values: Vec<ByteArray> = Vec::with_capacity(rows);
        let reader = group.get_column_reader(Number::NAMES.len() + column)?;
        let mut reader = get_typed_column_reader::<ByteArrayType>(reader);
        reader.read_records(rows, None, None, &mut values)?;
        for (row, value) in flat.iter_mut().zip(values) {
            row.texts[column] = value;
        }
    }
    Ok(flat)
}

fn failed(path: &Path, what: impl Into<What>) -> FileError {
    FileError {
        path: path.to_owned(),
        what: what.into(),
    }
}
