//! Tables for people: columns that are as wide as what stands in them.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

/// The last column is never made narrower than this: words would stand one below the other.
const NARROWEST: usize = 20;
const HEAD: Style = Style::new().bold();

/// How a cell looks. Restrained: color is for what needs attention, or for what is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Not yet, or not quite.
    Doubtful,
    /// It needs attention.
    Bad,
    /// Of less interest.
    Faint,
}

impl Tone {
    /// The style of a tone.
    pub const fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Doubtful => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell of a tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(heads: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            heads: heads.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text with styles, as wide as it is.
    pub fn render(&self) -> String {
        self.render_within(usize::MAX)
    }

    /// The table as text with styles. What stands in the last column goes on below where the width ends.
    pub fn render_within(&self, width: usize) -> String {
        let widths: Vec<usize> = self
            .heads
            .iter()
            .enumerate()
            .map(|(column, head)| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| cell.text.width())
                    .chain([head.width()])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::from(*head)).collect();
        let mut text = String::new();
        write_row(&mut text, &heads, &widths, Some(HEAD));
        let before: usize = widths.iter().rev().skip(1).map(|width| width + 2).sum();
        let room = width.saturating_sub(before).max(NARROWEST);
        for row in &self.rows {
            let mut row = row.clone();
            let last = row.get_mut(self.heads.len().saturating_sub(1));
            let rest = last.map(|cell| wrap(cell, room)).unwrap_or_default();
            write_row(&mut text, &row, &widths, None);
            for line in rest {
                // Writing to a text cannot fail.
                let _ = writeln!(text, "{:before$}{line}", "");
            }
        }
        text
    }
}

/// Leaves as many words in a cell as there is room for, and gives the lines that the others make.
fn wrap(cell: &mut Cell, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in cell.text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.width() + 1 + word.width() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let rest = lines.split_off(1);
    cell.text = lines.pop().unwrap_or_default();
    rest
}

fn write_row(text: &mut String, cells: &[Cell], widths: &[usize], style: Option<Style>) {
    let last = cells
        .iter()
        .rposition(|cell| !cell.text.is_empty())
        .unwrap_or(0);
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate().take(last + 1) {
        let style = style.unwrap_or(cell.tone.style());
        let blanks = if column == last {
            0
        } else {
            width - cell.text.width() + 2
        };
        // Writing to a text cannot fail.
        let _ = write!(text, "{style}{}{style:#}{:blanks$}", cell.text, "");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_goes_on_below_where_the_terminal_ends() {
        let mut table = Table::new(["CHECK", "FOUND"]);
        table.row([
            "order".into(),
            "placed once, replayed, read by id and by key".into(),
        ]);
        table.row(["echo".into(), "all".into()]);
        assert_eq!(
            anstream::adapter::strip_str(&table.render_within(32)).to_string(),
            "CHECK  FOUND\norder  placed once, replayed,\n       read by id and by key\necho   all\n"
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_nothing_trails() {
        let mut table = Table::new(["NAME", "STATE"]);
        table.row(["redis-0".into(), Cell::toned("running", Tone::Good)]);
        table.row(["é".into(), "".into()]);
        assert_eq!(
            anstream::adapter::strip_str(&table.render()).to_string(),
            "NAME     STATE\nredis-0  running\né\n"
        );
    }
}
