//! A segment as a file: Parquet, which any tool reads.

mod dictionary;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
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
use super::flat::{Column, Flat, Flattener, Number, Raiser, Text};
use dictionary::{Dictionaries, LEVEL};

/// What this release writes; in the files' metadata.
const VERSION: &str = "2";
/// What it reads; a file of another one is passed over. Files of the first version have fewer columns, and rows in the order in
/// which they came.
const VERSIONS: [&str; 2] = ["1", VERSION];
const VERSION_KEY: &str = "axoneme.records";
/// Rows that are sorted, and read, at once: what is written of them in common is as small as that of all, and who reads them
/// needs memory for no more.
pub(super) const BLOCK: usize = 8192;
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

fn schema(columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let columns: Vec<String> = columns.iter().map(|column| column.declared()).collect();
    parse_message_type(&format!("message record {{ {} }}", columns.join(" "))).map(Arc::new)
}

impl Column {
    fn declared(self) -> String {
        match self {
            Self::Number(of) => format!("required int64 {};", of.name()),
            Self::Text(Text::Message) => "required binary message;".to_owned(),
            Self::Text(of) => format!("required binary {} (UTF8);", of.name()),
        }
    }

    /// How it is coded where that is not by a dictionary: numbers that rise with those before them, numbers of which most are
    /// others, and texts of which most are others.
    const fn coding(self) -> Option<Encoding> {
        match self {
            Self::Number(Number::Time | Number::Position) => Some(Encoding::DELTA_BINARY_PACKED),
            Self::Number(
                Number::SourcePort
                | Number::Latency
                | Number::RequestOctets
                | Number::ResponseOctets,
            ) => Some(Encoding::BYTE_STREAM_SPLIT),
            Self::Text(Text::PathParts | Text::Path | Text::Trace | Text::Message) => {
                Some(Encoding::DELTA_LENGTH_BYTE_ARRAY)
            }
            Self::Number(_) | Self::Text(_) => None,
        }
    }
}

fn properties(columns: &[Column]) -> Result<WriterProperties, ParquetError> {
    let pair = KeyValue::new(VERSION_KEY.to_owned(), VERSION.to_owned());
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(Number::Time.name().into(), EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_created_by("axoneme".to_owned())
        .set_key_value_metadata(Some(vec![pair]));
    for column in columns {
        if let Some(coding) = column.coding() {
            properties = properties
                .set_column_dictionary_enabled(column.name().into(), false)
                .set_column_encoding(column.name().into(), coding);
        }
    }
    Ok(properties.build())
}

/// A segment as the octets of its file.
pub(super) fn encode(rows: &[Row]) -> Result<Vec<u8>, ParquetError> {
    let mut flattener = Flattener::default();
    let mut flat: Vec<Flat> = rows.iter().map(|row| flattener.row(row)).collect();
    for block in flat.chunks_mut(BLOCK) {
        Flattener::sort(block);
    }
    let used = flattener.used();
    let columns: Vec<Column> = Column::all().filter(|of| used.has(*of)).collect();
    let properties = properties(&columns)?;
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema(&columns)?, Arc::new(properties))?;
    let descriptors = writer.schema_descr().columns().to_vec();
    let mut group = writer.next_row_group()?;
    let mut dictionaries = Dictionaries::new()?;
    for (column, descriptor) in columns.into_iter().zip(descriptors) {
        if column.coding().is_some() {
            write_coded(&mut group, column, &flat, &flattener)?;
            continue;
        }
        match column {
            Column::Number(of) => dictionaries.numbers(&flat, of),
            Column::Text(of) => dictionaries.texts(&flat, of, &flattener),
        }
        dictionaries.write(&mut group, descriptor)?;
    }
    group.close()?;
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

/// Writes a column by a coding of the library's.
fn write_coded(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    column: Column,
    rows: &[Flat],
    flattener: &Flattener,
) -> Result<(), ParquetError> {
    let Some(mut writer) = group.next_column()? else {
        return Ok(());
    };
    for rows in rows.chunks(BLOCK) {
        match column {
            Column::Number(of) => {
                let numbers: Vec<i64> = rows.iter().map(|row| row.number(of)).collect();
                let writer = writer.typed::<Int64Type>();
                writer.write_batch(&numbers, None, None)?;
            }
            Column::Text(of) => {
                let texts: Vec<ByteArray> =
                    rows.iter().map(|row| flattener.text(row, of)).collect();
                let writer = writer.typed::<ByteArrayType>();
                writer.write_batch(&texts, None, None)?;
            }
        }
    }
    writer.close()
}

/// A column that is read block by block.
enum Reader {
    Number(Number, ColumnReaderImpl<Int64Type>),
    Text(Text, ColumnReaderImpl<ByteArrayType>),
}

/// A segment that is read block by block.
pub(super) struct Segment {
    path: PathBuf,
    reader: SerializedFileReader<Bytes>,
    columns: Vec<Column>,
    raiser: Raiser,
    /// The group that is read next.
    group: usize,
    /// Those of the group that is read, and how many rows of it are left.
    readers: Vec<Reader>,
    left: usize,
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
            let version = version.and_then(|pair| pair.value.as_deref());
            let version = version.unwrap_or_default();
            if !VERSIONS.contains(&version) {
                return Err(What::Version(version.to_owned()));
            }
            let names = metadata.schema_descr().columns().iter();
            let columns = names.map(|column| Column::named(column.name()));
            let columns: Option<Vec<Column>> = columns.collect();
            let columns = columns.ok_or(What::Columns)?;
            if *metadata.schema() != *schema(&columns)? {
                return Err(What::Columns);
            }
            Ok((reader, columns))
        };
        let (reader, columns) = opened().map_err(|what| failed(path, what))?;
        Ok(Self {
            reader,
            columns,
            path: path.to_owned(),
            raiser: Raiser::default(),
            group: 0,
            readers: Vec::new(),
            left: 0,
        })
    }

    /// The rows of the next block, those that this release can read, in the order in which they came; none after the last.
    pub(super) fn read(&mut self) -> Result<Option<Vec<Row>>, FileError> {
        let flat = self.block().map_err(|what| failed(&self.path, what))?;
        let Some(mut flat) = flat else {
            return Ok(None);
        };
        flat.sort_by_key(Flat::position);
        let rows = flat.iter().filter_map(|row| self.raiser.row(row));
        Ok(Some(rows.collect()))
    }

    fn block(&mut self) -> Result<Option<Vec<Flat<ByteArray>>>, ParquetError> {
        while self.left == 0 {
            if self.group == self.reader.num_row_groups() {
                return Ok(None);
            }
            let group = self.reader.get_row_group(self.group)?;
            self.left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
            self.readers = readers(&*group, &self.columns)?;
            self.group += 1;
        }
        let rows = self.left.min(BLOCK);
        self.left -= rows;
        let mut flat = vec![Flat::new(&ByteArray::from("")); rows];
        for reader in &mut self.readers {
            match reader {
                Reader::Number(of, reader) => {
                    let mut values: Vec<i64> = Vec::with_capacity(rows);
                    reader.read_records(rows, None, None, &mut values)?;
                    for (row, value) in flat.iter_mut().zip(values) {
                        row.set(*of, value);
                    }
                }
                Reader::Text(of, reader) => {
                    let mut values: Vec<ByteArray> = Vec::with_capacity(rows);
                    reader.read_records(rows, None, None, &mut values)?;
                    for (row, value) in flat.iter_mut().zip(values) {
                        row.tell(*of, value);
                    }
                }
            }
        }
        Ok(Some(flat))
    }
}

fn readers(group: &dyn RowGroupReader, columns: &[Column]) -> Result<Vec<Reader>, ParquetError> {
    let reader = |(at, column): (usize, &Column)| {
        let reader = group.get_column_reader(at)?;
        Ok(match column {
            Column::Number(of) => Reader::Number(*of, get_typed_column_reader(reader)),
            Column::Text(of) => Reader::Text(*of, get_typed_column_reader(reader)),
        })
    };
    columns.iter().enumerate().map(reader).collect()
}

fn failed(path: &Path, what: impl Into<What>) -> FileError {
    FileError {
        path: path.to_owned(),
        what: what.into(),
    }
}
