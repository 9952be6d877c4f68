//! The sums of a report's files, in the form that `sha256sum --check` reads.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// The SHA-256 of a report's files, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The sums in hexadecimal.
    pub sums: BTreeMap<String, String>,
}

impl Manifest {
    /// Adds a file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        self.sums.insert(name.to_owned(), sum(bytes));
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let lines = self.sums.iter().map(|(name, sum)| {
            [
                sum, "  ", name, "
",
            ]
            .concat()
        });
        lines.collect()
    }

    /// Reads the text of the file; `None`: it is not one. Names stay inside of the report's folder.
    pub fn read(text: &str) -> Option<Self> {
        let mut sums = BTreeMap::new();
        for line in text.lines() {
            let (sum, name) = line.split_once("  ")?;
            let hexadecimal = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
            let plain = !name.is_empty()
                && !name.contains(['/', '\\', '\0'])
                && name != "."
                && name != "..";
            if !hexadecimal
                || !plain
                || sums
                    .insert(name.to_owned(), sum.to_ascii_lowercase())
                    .is_some()
            {
                return None;
            }
        }
        (!sums.is_empty()).then_some(Self { sums })
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub(super) fn sum(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_names_stay_in_the_folder() {
        let mut manifest = Manifest::default();
        manifest.add("report.json", b"{}");
        manifest.add("k6.log", b"");
        assert_eq!(Manifest::read(&manifest.to_text()), Some(manifest.clone()));
        let sum = sum(b"");
        for wrong in [
            "",
            "x  report.json\n",
            &format!("{sum}  ../x\n"),
            &format!("{sum} x\n"),
            &format!("{sum}  a\n{sum}  a\n"),
        ] {
            assert_eq!(Manifest::read(wrong), None, "{wrong}");
        }
    }
}
