//! A table without borders: two spaces between columns, as wide as their widest cell.

use std::io::{self, Write};

/// Rows of text under a header.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its header; none with no columns.
    pub(crate) fn new(header: &[&str]) -> Self {
        let header: Vec<String> = header.iter().map(ToString::to_string).collect();
        Self {
            rows: if header.is_empty() {
                Vec::new()
            } else {
                vec![header]
            },
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Adds a row whose cell `column` has several lines; the other cells stand on the first.
    pub(crate) fn tall_row(&mut self, cells: Vec<String>, column: usize, lines: &[String]) {
        let width = cells.len();
        let mut first = cells;
        if let (Some(cell), Some(line)) = (first.get_mut(column), lines.first()) {
            cell.clone_from(line);
        }
        self.rows.push(first);
        for line in lines.iter().skip(1) {
            let mut row = vec![String::new(); width];
            if let Some(cell) = row.get_mut(column) {
                cell.clone_from(line);
            }
            self.rows.push(row);
        }
    }

    /// Writes it; nothing is padded after a row's last cell.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(column) {
                    Some(widest) => *widest = (*widest).max(width),
                    None => widths.push(width),
                }
            }
        }
        for row in &self.rows {
            let padded = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            let line = padded.collect::<Vec<_>>().join("  ");
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
