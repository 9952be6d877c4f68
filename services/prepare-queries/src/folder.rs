//! The files that sqlx's macros read and write, one a query, named by the query's hash.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;

/// Files by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Queries(BTreeMap<String, String>);

impl Queries {
    /// Reads a folder; one that is not there is empty.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let read = || -> std::io::Result<Self> {
            let mut queries = BTreeMap::new();
            let entries = match fs::read_dir(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if is_query(&name) {
                    queries.insert(name, fs::read_to_string(entry.path())?);
                }
            }
            Ok(Self(queries))
        };
        read().with_context(|| format!("failed to read queries from {}", folder.display()))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Makes a folder hold these and no others.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let kept = Self::read(folder)?;
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(folder)?;
            for name in kept.0.keys().filter(|name| !self.0.contains_key(*name)) {
                fs::remove_file(folder.join(name))?;
            }
            for (name, content) in &self.0 {
                if kept.0.get(name) != Some(content) {
                    fs::write(folder.join(name), content)?;
                }
            }
            Ok(())
        };
        write().with_context(|| format!("failed to write queries to {}", folder.display()))
    }
}

fn is_query(name: &str) -> bool {
    name.starts_with("query-")
        && Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "json")
}

/// What a folder has to change for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Staleness {
    missing: Vec<String>,
    different: Vec<String>,
    surplus: Vec<String>,
}

impl Staleness {
    /// Compares what is kept with what the database says.
    pub(crate) fn between(kept: &Queries, fresh: &Queries) -> Self {
        let names = |queries: &Queries, wanted: &dyn Fn(&String) -> bool| {
            queries
                .0
                .keys()
                .filter(|name| wanted(name))
                .cloned()
                .collect()
        };
        Self {
            missing: names(fresh, &|name| !kept.0.contains_key(name)),
            different: names(fresh, &|name| {
                kept.0
                    .get(name)
                    .is_some_and(|content| Some(content) != fresh.0.get(name))
            }),
            surplus: names(kept, &|name| !fresh.0.contains_key(name)),
        }
    }

    /// Whether nothing is stale.
    pub(crate) fn is_none(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty() && self.surplus.is_empty()
    }

    /// A line a stale query.
    pub(crate) fn lines(&self) -> Vec<String> {
        let groups = [
            ("missing", &self.missing),
            ("different", &self.different),
            ("surplus", &self.surplus),
        ];
        groups
            .into_iter()
            .flat_map(|(label, names)| {
                names
                    .iter()
                    .map(move |name| format!("{label}: .sqlx/{name}"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(entries: &[(&str, &str)]) -> Queries {
        Queries(
            entries
                .iter()
                .map(|&(name, content)| (name.to_owned(), content.to_owned()))
                .collect(),
        )
    }

    #[test]
    fn a_missing_a_different_and_a_surplus_query_are_each_stale() {
        let fresh = queries(&[("query-a.json", "1"), ("query-b.json", "2")]);
        assert!(Staleness::between(&fresh, &fresh).is_none());
        let kept = queries(&[("query-b.json", "3"), ("query-c.json", "4")]);
        let staleness = Staleness::between(&kept, &fresh);
        assert!(!staleness.is_none());
        assert_eq!(
            staleness.lines(),
            [
                "missing: .sqlx/query-a.json",
                "different: .sqlx/query-b.json",
                "surplus: .sqlx/query-c.json",
            ]
        );
    }

    #[test]
    fn writing_leaves_these_queries_and_no_others() {
        let folder = shop_testkit::Folder::new();
        let old = queries(&[("query-a.json", "1"), ("query-b.json", "2")]);
        let new = queries(&[("query-b.json", "3")]);
        old.write(folder.path()).unwrap();
        folder.write("README", "not a query");
        new.write(folder.path()).unwrap();
        assert_eq!(Queries::read(folder.path()).unwrap(), new);
        assert!(folder.path().join("README").exists());
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_queries() {
        assert_eq!(
            Queries::read(Path::new("/nonexistent/.sqlx")).unwrap(),
            Queries::default()
        );
    }
}
