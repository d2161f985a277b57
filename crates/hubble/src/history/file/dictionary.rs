//! A column by a dictionary: each value once, and for each row which one it is (Parquet's `RLE_DICTIONARY`).
//!
//! The library's writer looks up each value of each row by its octets. Here texts have numbers already, and rows that lie beside
//! each other mostly have the same values.

use std::io;

use bytes::Bytes;
use hashbrown::HashMap;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use crate::history::flat::{Flat, Flattener, Number, Text};

/// How hard pages are compressed, the library's and ours.
pub(super) const LEVEL: i32 = 3;
/// Before a value has a place.
const NO_PLACE: u32 = u32::MAX;
/// Values that are packed at once.
const GROUP: usize = 8;

/// Makes columns by dictionaries, one after the other, with room that all of them use.
pub(super) struct Dictionaries {
    compressor: Compressor<'static>,
    /// Places of words in the dictionary that is made.
    places: Vec<u32>,
    known: Vec<u32>,
    numbers: HashMap<i64, u32>,
    /// The values, as Parquet's `PLAIN` has them, and how many they are.
    values: Vec<u8>,
    count: u32,
    /// Which one each row has.
    indices: Vec<u32>,
}

impl Dictionaries {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            compressor: Compressor::new(LEVEL)?,
            places: Vec::new(),
            known: Vec::new(),
            numbers: HashMap::new(),
            values: Vec::new(),
            count: 0,
            indices: Vec::new(),
        })
    }

    fn clear(&mut self) {
        for word in self.known.drain(..) {
            self.places[word as usize] = NO_PLACE;
        }
        self.numbers.clear();
        self.values.clear();
        self.indices.clear();
        self.count = 0;
    }

    /// Takes a column of texts.
    pub(super) fn texts(&mut self, rows: &[Flat], of: Text, flattener: &Flattener) {
        self.clear();
        self.places.resize(flattener.words(), NO_PLACE);
        for row in rows {
            let word = row.word(of);
            let place = &mut self.places[word as usize];
            if *place == NO_PLACE {
                *place = self.count;
                self.count += 1;
                self.known.push(word);
                let text = flattener.octets_of(word);
                self.values.extend((text.len() as u32).to_le_bytes());
                self.values.extend(text);
            }
            self.indices.push(*place);
        }
    }

    /// Takes a column of numbers.
    pub(super) fn numbers(&mut self, rows: &[Flat], of: Number) {
        self.clear();
        let mut last = None;
        for row in rows {
            let number = row.number(of);
            let place = match last {
                Some((value, place)) if value == number => place,
                _ => self.place(number),
            };
            last = Some((number, place));
            self.indices.push(place);
        }
    }

    fn place(&mut self, number: i64) -> u32 {
        let next = self.count;
        *self.numbers.entry(number).or_insert_with(|| {
            self.count += 1;
            self.values.extend(number.to_le_bytes());
            next
        })
    }

    /// Writes the column that was taken as the group's next one.
    pub(super) fn write(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
        descriptor: ColumnDescPtr,
    ) -> Result<(), ParquetError> {
        let values = std::mem::take(&mut self.values);
        let rows = self.indices.len() as u32;
        let width = u32::BITS - self.count.saturating_sub(1).leading_zeros();
        let mut which = vec![width as u8];
        pack(&self.indices, width, &mut which);
        let dictionary = |buf| Page::DictionaryPage {
            buf,
            num_values: self.count,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let data = |buf| Page::DataPage {
            buf,
            num_values: rows,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let (first, second) = (
            self.compressor.compress(&values)?,
            self.compressor.compress(&which)?,
        );
        let mut sink = TrackedWrite::new(Vec::new());
        let mut pages = SerializedPageWriter::new(&mut sink);
        let first = CompressedPage::new(dictionary(Bytes::from(first)), values.len());
        let second = CompressedPage::new(data(Bytes::from(second)), which.len());
        let written = [pages.write_page(first)?, pages.write_page(second)?];
        pages.close()?;
        let size = |of: fn(&_) -> usize| written.iter().map(of).sum::<usize>() as i64;
        let metadata = ColumnChunkMetaData::builder(descriptor)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_encodings(vec![
                Encoding::PLAIN,
                Encoding::RLE,
                Encoding::RLE_DICTIONARY,
            ])
            .set_num_values(rows.into())
            .set_total_compressed_size(size(|page| page.compressed_size))
            .set_total_uncompressed_size(size(|page| page.uncompressed_size))
            .set_dictionary_page_offset(Some(written[0].offset as i64))
            .set_data_page_offset(written[1].offset as i64)
            .build()?;
        self.values = values;
        let octets = Bytes::from(sink.into_inner()?);
        let close = ColumnCloseResult {
            bytes_written: octets.len() as u64,
            rows_written: rows.into(),
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        group.append_column(&octets, close)
    }
}

/// Numbers of `width` bits each, as Parquet's hybrid of runs and packed groups.
fn pack(numbers: &[u32], width: u32, to: &mut Vec<u8>) {
    let mut left = numbers;
    // Those before `left` that are packed with what comes.
    let mut waiting: &[u32] = &[];
    let mut at = 0;
    while let Some(first) = left.first() {
        let run = left.iter().take_while(|of| *of == first).count();
        // A run begins where groups of packed ones end.
        let missing = waiting.len().next_multiple_of(GROUP) - waiting.len();
        let taken = if run >= missing + GROUP { missing } else { run };
        waiting = &numbers[at - waiting.len()..at + taken];
        if run >= missing + GROUP {
            pack_groups(waiting, width, to);
            waiting = &[];
            variable(((run - missing) as u64) << 1, to);
            to.extend(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
        }
        at += run;
        left = &numbers[at..];
    }
    pack_groups(waiting, width, to);
}

/// Groups, the last one filled up; nothing for none.
fn pack_groups(numbers: &[u32], width: u32, to: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    let groups = numbers.len().div_ceil(GROUP);
    variable((groups as u64) << 1 | 1, to);
    let (mut word, mut bits) = (0_u64, 0);
    let filled = numbers.iter().copied().chain(std::iter::repeat(0));
    for number in filled.take(groups * GROUP) {
        word |= u64::from(number) << bits;
        bits += width;
        while bits >= 8 {
            to.push(word as u8);
            word >>= 8;
            bits -= 8;
        }
    }
}

/// A number in groups of seven bits (ULEB128).
fn variable(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

#[cfg(test)]
mod tests;
